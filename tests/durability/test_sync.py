"""What "on disk" means: who syncs when, what a failed sync does, and what a failed write leaves."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.engine import compaction
from crudjt._backends.embedded.engine.view import Snapshot, View
from tests.support.disks import QUIET, Machine, cut_power, fork, log_end, segments, wait_for


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
    store = crudjt.open(path, secret_key=secret_key, durability="full", sync_interval=QUIET)
    store.delete(store.create({}))  # the first write notes the key in the manifest, and syncs that too
    return store


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


def test_with_interval_durability_the_background_thread_syncs_without_any_call(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key, sync_interval=0.02) as store:
        for n in range(3):
            store.create({"n": n})
            wait_for(lambda: store.stats().unsynced_bytes == 0)
            mark = int.from_bytes(segments(path)[-1].read_bytes()[1024:1032], "little")
            assert mark == log_end(segments(path)[-1])
            assert store.stats().synced_at is not None


@pytest.mark.slow
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


def test_what_a_dead_process_left_unsynced_another_process_syncs(path: Path, secret_key: str) -> None:
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
