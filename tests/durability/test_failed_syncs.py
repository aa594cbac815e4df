"""A sync that fails: every process refuses to go on, and the next opening recovers."""

import errno
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.engine import opening, recovery
from tests.support.disks import QUIET, bases, fork, in_child, segments, wait_for


def every_call(store: crudjt.Store, token: str, target: Path) -> dict[str, Callable[[], object]]:
    return {
        "create": lambda: store.create({}),
        "create_many": lambda: store.create_many([{}]),
        "read": lambda: store.read(token),
        "read of another": lambda: store.read("A" * 22),
        "read_many": lambda: store.read_many([token]),
        "peek": lambda: store.peek(token),
        "update": lambda: store.update(token, {}),
        "touch": lambda: store.touch(token, ttl=1),
        "rotate": lambda: store.rotate(token),
        "delete": lambda: store.delete(token),
        "delete_many": lambda: store.delete_many([token]),
        "sessions": lambda: list(store.sessions("anna")),
        "sessions of nobody": lambda: list(store.sessions("nobody")),
        "revoke": lambda: store.revoke("anna"),
        "revoke of nobody": lambda: store.revoke("nobody"),
        "revoke_id": lambda: store.revoke_id("0" * 32),
        "sweep": store.sweep,
        "sync": store.sync,
        "backup": lambda: store.backup(target),
    }


def refuses(store: crudjt.Store, token: str, target: Path) -> list[str]:
    """Return the calls that do not refuse, which should be none."""
    answering = []
    for name, call in every_call(store, token, target).items():
        with suppress(crudjt.StoreFailed):
            call()
            answering.append(name)
    return answering


class Failing:
    """Stands before `files.sync_data`, and fails when it is told to; counts the syncs of the log."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._real = _filesystem.sync_data
        self.armed = False
        self.calls = 0
        patch.setattr(_filesystem, "sync_data", self._sync)

    def _sync(self, descriptor: int) -> None:
        self.calls += 1
        if self.armed:
            self.armed = False
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._real(descriptor)


@pytest.mark.parametrize("through", ["sync", "full", "background"])
def test_after_a_failed_sync_every_call_of_the_process_refuses_and_no_sync_is_tried_again(
    path: Path,
    tmp_path: Path,
    secret_key: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    through: str,
) -> None:
    failing = Failing(monkeypatch)
    store = crudjt.open(
        path,
        secret_key=secret_key,
        durability="full" if through == "full" else "interval",
        sync_interval=0.02 if through == "background" else QUIET,
    )
    token = store.create({"a": 1}, subject="anna")
    store.sync()
    assert store.read(token) is not None  # from now on it is cached
    assert store.read(token) is not None
    failing.armed = True
    if through == "background":
        store.create({"a": 2})
        wait_for(lambda: any(record.levelno == logging.ERROR for record in caplog.records))
    else:
        with pytest.raises(crudjt.StoreFailed) as caught:
            store.sync() if through == "sync" and store.create({"a": 2}) else store.create({"a": 2})
        assert caught.value.path == path
    calls = failing.calls
    try:
        assert refuses(store, token, tmp_path / "backup") == []
        assert failing.calls == calls
    finally:
        store.close()
    assert failing.calls == calls


def bystander(path: Path, secret_key: str, ready: Any, failed: Any, target: Path) -> list[str]:
    """Have the store open, with a session cached, while another process meets the failing disk."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        token = store.create({"by": "bystander"}, subject="anna")
        assert store.read(token)
        assert store.read(token)
        ready.set()
        assert failed.wait(30)
        return refuses(store, token, target)


def meet_the_failing_disk(path: Path, secret_key: str, ready: Any, failed: Any, joined: Any, sending: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        failing = Failing(patch)
        assert ready.wait(30)
        with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
            sending.send(store.create({"by": "victim"}))
            failing.armed = True
            with pytest.raises(crudjt.StoreFailed):
                store.sync()
            failed.set()
            assert joined.wait(30)


def test_a_failed_sync_stops_every_process_until_all_have_closed_the_store_and_the_next_recovers_it(
    path: Path, tmp_path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery writes everything to new files: what the old ones show may never have reached the disk."""
    with crudjt.open(path, secret_key=secret_key) as store:
        tokens = [store.create({"by": "parent"}) for _ in range(3)]
    old_segment = segments(path)[0]
    ready, failed, joined = fork.Event(), fork.Event(), fork.Event()
    receiving, sending = fork.Pipe(duplex=False)
    victim = fork.Process(target=meet_the_failing_disk, args=(path, secret_key, ready, failed, joined, sending))
    victim.start()
    assert in_child(bystander, path, secret_key, ready, failed, tmp_path / "backup") == []
    tokens.append(receiving.recv())

    monkeypatch.setattr(opening, "_WAIT_SECONDS", 0.1)
    with pytest.raises(crudjt.StoreBusy, match="disk failed"):
        crudjt.open(path, secret_key=secret_key)
    joined.set()
    victim.join(30)
    assert victim.exitcode == 0

    with crudjt.open(path, secret_key=secret_key) as store:
        assert all(store.read(token) for token in tokens)
        assert store.stats().sessions == 5
        assert len(bases(path)) == 1
        assert old_segment not in segments(path)
        store.create({"after": True})
        store.sync()


def fail_and_close(path: Path, secret_key: str) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        failing = Failing(patch)
        with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
            tokens = [store.create({"n": n}) for n in range(3)]
            failing.armed = True
            with pytest.raises(crudjt.StoreFailed):
                store.sync()
        return tokens


def test_a_recovery_from_a_failed_disk_that_is_cut_short_is_done_in_full_by_the_next(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next process would trust the old files, which the failed sync has made doubtful."""
    tokens = in_child(fail_and_close, path, secret_key)
    old_segment = segments(path)[0]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "write_base", full)
        with pytest.raises(crudjt.StoreFull):
            crudjt.open(path, secret_key=secret_key)
    with crudjt.open(path, secret_key=secret_key) as store:
        assert all(store.read(token) for token in tokens)
    assert len(bases(path)) == 1
    assert old_segment not in segments(path)
