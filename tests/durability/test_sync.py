"""What "on disk" means: who syncs when, what a failed sync does, and what a failed write leaves."""

import errno
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.engine import compaction, manifest, opening, recovery
from crudjt._backends.embedded.engine.view import (
    Snapshot,
    View,
)
from crudjt.testing import FakeClock
from tests.support.disks import (
    QUIET,
    WAYS_TO_WRITE,
    Machine,
    bases,
    cut_power,
    facts,
    fork,
    in_child,
    log_end,
    picture,
    segments,
    wait_for,
    write_log,
)
from tests.support.embedded import commits_failing, compact
from tests.support.processes import StoreProcess


class Recorder:
    """Stands before `files.sync_data`, and sees which bytes of the newest segment each sync covers."""

    def __init__(self, patch: pytest.MonkeyPatch, path: Path) -> None:
        self.covered: list[int] = []
        self._path = path
        self._real = _filesystem.sync_data
        self.before: Callable[[], None] = lambda: None
        patch.setattr(_filesystem, "sync_data", self._sync)

    def _sync(self, descriptor: int) -> None:
        file = Path(f"/proc/self/fd/{descriptor}").readlink()
        covered = [log_end(file)] if file in segments(self._path) else []
        self.before()
        self._real(descriptor)
        self.covered += covered


def open_full(path: Path, secret_key: str) -> crudjt.Store:
    return crudjt.open(path, secret_key=secret_key, durability="full", sync_interval=QUIET)


def test_with_full_durability_every_change_returns_after_a_sync_that_covers_it(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_full(path, secret_key) as store:
        recorder = Recorder(monkeypatch, path)
        tokens: list[str] = []
        calls: list[Callable[[], object]] = [
            lambda: tokens.append(store.create({"n": 1}, max_reads=5, subject="anna")),
            lambda: tokens.extend(store.create_many([{"n": 2}, {"n": 3}], subject="anna")),
            lambda: store.read(tokens[0]),
            lambda: store.read_many(tokens),
            lambda: store.update(tokens[0], {"n": 4}),
            lambda: store.touch(tokens[0], ttl=60),
            lambda: tokens.append(store.rotate(tokens[0]) or ""),
            lambda: store.delete(tokens[-1]),
            lambda: store.delete_many(tokens[:2]),
            lambda: store.revoke("anna"),
        ]
        for call in calls:
            size = log_end(segments(path)[-1])
            recorder.covered.clear()
            call()
            grown = log_end(segments(path)[-1])
            assert grown > size
            assert recorder.covered == [grown]
        assert store.stats().unsynced_bytes == 0
        recorder.covered.clear()
        assert store.read(tokens[0]) is None
        assert store.update(tokens[0], {}) is False
        assert recorder.covered == []


def test_what_full_durability_has_acknowledged_survives_a_power_cut_at_once(
    path: Path, tmp_path: Path, secret_key: str, machine: Machine
) -> None:
    """Only what was below the synced mark is counted on: the rest of the segment becomes zeros."""
    with open_full(path, secret_key) as store:
        tokens = [store.create({"n": n}) for n in range(5)]
        image = cut_power(path, tmp_path / "image")
    segment = segments(image)[-1]
    mark = int.from_bytes(segment.read_bytes()[1024:1032], "little")
    assert mark == log_end(segment)
    machine.reboot()
    with crudjt.open(image, secret_key=secret_key) as store:
        assert all(store.read(token) for token in tokens)


def test_concurrent_writers_with_full_durability_share_syncs(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one sync runs, seven others write, and the next sync covers them all."""
    rounds = 5
    with open_full(path, secret_key) as store:
        recorder = Recorder(monkeypatch, path)
        begun: list[int] = []
        everybody = threading.Barrier(8, action=lambda: begun.append(8 * (len(begun) + 1)))
        recorder.before = lambda: wait_for(lambda: store.stats().sessions == begun[-1])

        def write() -> None:
            for n in range(rounds):
                everybody.wait(30)
                store.create({"n": n})

        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        recorder.before = lambda: None
        assert store.stats().sessions == 8 * rounds
        assert len(recorder.covered) <= 2 * rounds
        assert recorder.covered[-1] == log_end(segments(path)[-1])


def test_a_writer_is_not_answered_by_a_sync_that_began_before_its_entry(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_full(path, secret_key) as store:
        recorder = Recorder(monkeypatch, path)
        syncing, go_on, wrote = threading.Event(), threading.Event(), threading.Event()

        def hold_the_first() -> None:
            if not syncing.is_set():
                syncing.set()
                assert go_on.wait(30)

        recorder.before = hold_the_first

        def second() -> None:
            store.create({"second": True})
            wrote.set()

        first = threading.Thread(target=store.create, args=({"first": True},))
        first.start()
        assert syncing.wait(30)
        # The size that the first sync covers is taken before it is held, so before the second entry.
        other = threading.Thread(target=second)
        other.start()
        wait_for(lambda: store.stats().sessions == 2)
        assert not wrote.wait(0.05)
        go_on.set()
        first.join(30)
        other.join(30)
        assert wrote.is_set()
        assert len(recorder.covered) == 2
        assert recorder.covered[-1] == log_end(segments(path)[-1])


def test_with_interval_durability_the_caretaker_syncs_without_any_call(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key, sync_interval=0.02) as store:
        for n in range(3):
            store.create({"n": n})
            wait_for(lambda: store.stats().unsynced_bytes == 0)
            mark = int.from_bytes(segments(path)[-1].read_bytes()[1024:1032], "little")
            assert mark == log_end(segments(path)[-1])
            assert store.stats().synced_at is not None


def test_changes_are_synced_while_a_compaction_takes_its_time(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copying, go_on = threading.Event(), threading.Event()
    copy = View.copy

    def slowly(view: View, target: int, snapshot: Snapshot) -> int:
        copying.set()
        assert go_on.wait(60)
        return copy(view, target, snapshot)

    monkeypatch.setattr(View, "copy", slowly)
    monkeypatch.setattr(compaction, "compaction_is_due", lambda _engine: not copying.is_set())
    with crudjt.open(path, secret_key=secret_key, sync_interval=0.02) as store:
        assert copying.wait(60)
        for n in range(3):
            store.create({"n": n})
            wait_for(lambda: store.stats().unsynced_bytes == 0)
        go_on.set()
        wait_for(lambda: store.stats().compacted_at is not None)


def test_with_interval_durability_a_change_does_not_wait_for_the_disk(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        recorder = Recorder(monkeypatch, path)
        for n in range(10):
            store.create({"n": n})
        assert recorder.covered == []
        assert store.stats().unsynced_bytes > 0
        store.sync()
        assert recorder.covered == [log_end(segments(path)[-1])]
        assert store.stats().unsynced_bytes == 0
        store.sync()
        assert len(recorder.covered) == 1


def write_and_die(path: Path, secret_key: str, sending: Any) -> None:
    store = crudjt.open(path, secret_key=secret_key, sync_interval=QUIET)
    sending.send(store.create({"n": 1}))
    os._exit(0)


def test_what_a_dead_process_left_unsynced_the_caretaker_of_another_syncs(path: Path, secret_key: str) -> None:
    receiving, sending = fork.Pipe(duplex=False)
    process = fork.Process(target=write_and_die, args=(path, secret_key, sending))
    process.start()
    token = receiving.recv()
    process.join(30)
    with crudjt.open(path, secret_key=secret_key, sync_interval=0.02) as store:
        wait_for(lambda: store.stats().unsynced_bytes == 0)
        assert store.read(token) is not None


def test_closing_a_store_syncs(path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = crudjt.open(path, secret_key=secret_key, sync_interval=QUIET)
    recorder = Recorder(monkeypatch, path)
    store.create({"n": 1})
    store.close()
    assert recorder.covered == [log_end(segments(path)[-1])]


# Failed syncs


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


@pytest.mark.parametrize("through", ["sync", "full", "caretaker"])
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
        sync_interval=0.02 if through == "caretaker" else QUIET,
    )
    token = store.create({"a": 1}, subject="anna")
    store.sync()
    assert store.read(token) is not None  # from now on it is cached
    assert store.read(token) is not None
    failing.armed = True
    if through == "caretaker":
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


# Failed writes


class FaultyWrites:
    """Stands before `files.write_at` and `files.map_window`: the n-th call writes only half, or nothing, and fails."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int, error: int) -> None:
        self.calls = 0
        self._number = number
        self._error = error
        self._write_at, self._map_window = _filesystem.write_at, _filesystem.map_window
        patch.setattr(_filesystem, "write_at", self._write)
        patch.setattr(_filesystem, "map_window", self._map)

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self._number:
            raise OSError(self._error, os.strerror(self._error))

    def _write(self, descriptor: int, data: bytes, offset: int) -> None:
        try:
            self._count()
        except OSError:
            os.pwrite(descriptor, data[: len(data) // 2], offset)
            raise
        self._write_at(descriptor, data, offset)

    def _map(self, descriptor: int, offset: int, size: int) -> mmap:
        self._count()
        return self._map_window(descriptor, offset, size)


class Model:
    """A store, and what it has acknowledged."""

    def __init__(self, store: crudjt.Store) -> None:
        self.store = store
        self.data: dict[str, dict[str, Any]] = {}
        self.errors: list[crudjt.StoreError] = []

    def attempt(self, call: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Make a call, and believe it if it returns."""
        try:
            result = call()
        except (crudjt.StoreFull, crudjt.StoreFailed) as error:
            self.errors.append(error)
        else:
            then(result)

    def create(self, *data: dict[str, Any]) -> None:
        self.attempt(
            lambda: self.store.create_many(list(data), subject="anna"),
            lambda tokens: self.data.update(zip(tokens, data, strict=True)),
        )

    def update(self, data: dict[str, Any]) -> None:
        token = next(iter(self.data))
        self.attempt(lambda: self.store.update(token, data), lambda _: self.data.__setitem__(token, data))

    def rotate(self) -> None:
        token = next(iter(self.data))
        self.attempt(lambda: self.store.rotate(token), lambda new: self.data.__setitem__(new, self.data.pop(token)))

    def delete(self) -> None:
        token = next(iter(self.data))
        self.attempt(lambda: self.store.delete(token), lambda _: self.data.__delitem__(token))

    def live(self) -> None:
        """Do some of everything that writes."""
        for n in range(3):
            self.create({"n": n})
        self.update({"updated": 1})
        self.create({"many": 1}, {"many": 2}, {"many": 3})
        self.attempt(lambda: compact(self.store), lambda _: None)
        self.rotate()
        self.delete()
        self.create({"last": 1})

    def check(self, store: crudjt.Store) -> None:
        """See that a store is what was acknowledged, and nothing else."""
        assert {token: (facts(store.peek(token)) or [None])[0] for token in self.data} == self.data
        assert store.stats().sessions == len(self.data) == len(list(store.sessions("anna")))


@WAYS_TO_WRITE
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_write_that_fails_anywhere_is_undone_and_does_not_come_back_after_a_boot(
    tmp_path: Path, secret_key: str, machine: Machine, monkeypatch: pytest.MonkeyPatch, error: int, mapped: bool
) -> None:
    """Every write of a small life in turn: log entries, synced marks, segment headers, the manifest."""
    write_log(monkeypatch, mapped=mapped)
    for number in range(1, 100):
        path = tmp_path / str(number)
        with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
            model = Model(store)
            for n in range(3):
                model.create({"first": n})
            with pytest.MonkeyPatch.context() as patch:
                faulty = FaultyWrites(patch, number, error)
                model.live()
            reached = faulty.calls >= number
            assert len(model.errors) >= reached
            if len(model.errors) <= 1:
                model.check(store)
                model.create({"after": 1})
                assert len(model.errors) == reached
                model.check(store)
        for boot in range(2):
            machine.reboot()
            with crudjt.open(path, secret_key=secret_key) as store:
                model.check(store)
                model.store = store
                model.create({"boot": boot})
        if not reached:
            assert number > (4 if mapped else 10)
            return
    raise AssertionError("the life never ended")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_where_even_cutting_off_fails_the_next_writer_does_it(
    path: Path, secret_key: str, machine: Machine, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    write_log(monkeypatch, mapped=False)
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        model = Model(store)
        model.create({"n": 1})
        with monkeypatch.context() as patch:
            FaultyWrites(patch, 1, error)

            def truncate(_descriptor: int, _size: int) -> None:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

            patch.setattr(_filesystem, "truncate", truncate)
            model.create({"n": 2})
            assert len(model.errors) == 1
        model.check(store)
        model.create({"n": 3})
        model.check(store)
    machine.reboot()
    with crudjt.open(path, secret_key=secret_key) as store:
        model.check(store)


def test_a_change_whose_commit_fails_does_not_come_back_after_a_boot(
    path: Path, secret_key: str, machine: Machine
) -> None:
    """The log has it already, and perhaps nobody writes again before the boot."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        token = store.create({"n": 1})
        with commits_failing(store):
            for call in (lambda: store.create({"n": 2}), lambda: store.delete(token)):
                with pytest.raises(crudjt.StoreFull):
                    call()
        before = picture(store, [token])
    machine.reboot()
    with crudjt.open(path, secret_key=secret_key) as store:
        assert picture(store, [token]) == before
        assert store.stats().sessions == 1


def test_a_refused_change_that_cannot_be_taken_out_of_the_log_stops_the_store(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the caller would take it for not done, and the next boot would do it."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        token = store.create({"n": 1})

        def truncate(_descriptor: int, _size: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with monkeypatch.context() as patch, commits_failing(store):
            patch.setattr(_filesystem, "truncate", truncate)
            with pytest.raises(crudjt.StoreFailed, match="could not be undone"):
                store.delete(token)
        with pytest.raises(crudjt.StoreFailed):
            store.read(token)
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create({"after": 1})


def test_the_caretaker_goes_on_syncing_when_it_finds_no_room_to_compact(
    path: Path, secret_key: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any step of compaction, up to the manifest."""
    monkeypatch.setattr(compaction, "MIN_COMPACTION_BYTES", 0)
    met = threading.Event()

    def save(_self: manifest.Manifest, _directory: Path) -> None:
        met.set()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with crudjt.open(path, secret_key=secret_key, sync_interval=0.02) as store:
        with monkeypatch.context() as patch:
            patch.setattr(manifest.Manifest, "save", save)
            token = store.create({})
            for n in range(200):
                store.update(token, {"n": n, "x": "x" * 2000})
            wait_for(met.is_set)
        store.create({"after": 1})
        wait_for(lambda: store.stats().unsynced_bytes == 0)


def test_a_caretaker_that_has_no_descriptor_left_goes_on_when_it_has_one(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither its sync nor its sweep finds one, and both are only put off."""

    def refuse(file: Path, _flags: int = 0) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(file))

    def has_logged(text: str) -> bool:
        return any(text in record.getMessage() for record in caplog.records)

    with (
        StoreProcess(path, secret_key, sync_interval=QUIET) as writer,
        crudjt.open(path, secret_key=secret_key, sync_interval=0.02, sweep_interval=0.001) as store,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(_filesystem, "open_file", refuse)
            writer.call("create", {"n": 1})
            wait_for(lambda: has_logged("a sync of") and has_logged("maintenance of"))
            for call in (store.sync, store.sweep):
                with pytest.raises(crudjt.StoreFailed, match="Too many open files"):
                    call()
        wait_for(lambda: store.stats().unsynced_bytes == 0)
        writer.leave()


def test_a_process_that_ends_without_closing_syncs_and_fails_nobody(path: Path, secret_key: str) -> None:
    """What it opened is closed in the right order: syncing a descriptor that is closed would count as a broken disk."""
    code = f"""
import crudjt
store = crudjt.open({str(path)!r}, secret_key={secret_key!r}, sync_interval=3600)
print(store.create({{}}))
"""
    with crudjt.open(path, secret_key=secret_key, sync_interval=3600) as store:
        done = subprocess.run(
            [sys.executable, "-I", "-c", code], capture_output=True, check=True, timeout=60, text=True
        )
        assert done.stderr == ""
        assert store.stats().unsynced_bytes == 0
        assert store.peek(done.stdout.strip()) is not None
        store.create({})
