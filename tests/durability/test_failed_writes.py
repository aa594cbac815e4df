"""A write that fails: it is undone, and does not come back after a boot."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.engine import compaction, manifest
from crudjt.testing import FakeClock
from tests.support.disks import QUIET, WAYS_TO_WRITE, Machine, facts, picture, wait_for, write_log
from tests.support.embedded import commits_failing, compact
from tests.support.processes import StoreProcess


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
@pytest.mark.slow
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


def test_the_background_thread_goes_on_syncing_when_it_finds_no_room_to_compact(
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
            token = store.create({})  # notes the key in the manifest
            patch.setattr(manifest.Manifest, "save", save)
            for n in range(200):
                store.update(token, {"n": n, "x": "x" * 2000})
            wait_for(met.is_set)
        store.create({"after": 1})
        wait_for(lambda: store.stats().unsynced_bytes == 0)


def test_a_background_thread_that_has_no_descriptor_left_goes_on_when_it_has_one(
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
                with pytest.raises(crudjt.StoreBusy, match="no free file descriptor"):
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
