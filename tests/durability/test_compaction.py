"""The log is replaced by a snapshot when it outgrows the live data, while everybody goes on."""

import contextlib
import errno
import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.engine import compaction, engine, manifest, recovery, segment, segment_writer
from crudjt._backends.embedded.engine.view import View
from crudjt._filesystem import flock
from crudjt.testing import FakeClock
from tests.support.disks import (
    MIB,
    QUIET,
    Machine,
    all_files,
    bases,
    die_at_line,
    exit_code_of_child,
    fork,
    in_child,
    picture,
    segments,
    wait_for,
)
from tests.support.embedded import compact, compaction_is_due, engine_of
from tests.support.thorough import every

COMPACTION = (compaction, engine, segment, segment_writer, manifest, recovery, _filesystem)


def grow_log(store: crudjt.Store, token: str, count: int = 200) -> None:
    """Make the log much larger than what lives."""
    for n in range(count):
        store.update(token, {"n": n, "x": "x" * 2000})


def test_compaction_replaces_the_log_so_far_by_a_snapshot(
    path: Path, secret_key: str, clock: FakeClock, machine: Machine
) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock) as store:
        tokens = store.create_many([{"n": n} for n in range(10)], subject="anna")
        grow_log(store, tokens[0])
        before = picture(store, tokens, ["anna"])
        assert store.stats().compacted_at is None
        assert store.stats().log_bytes > 400_000
        assert compact(store, clock() // 10**6)
        assert store.stats().log_bytes == 4096
        assert store.stats().compacted_at is not None
        assert [segment.name for segment in segments(path)] == ["0000000002.log"]
        assert [base.name for base in bases(path)] == ["0000000002.mdb"]
        assert picture(store, tokens, ["anna"]) == before
        tokens.append(store.create({"after": 1}, subject="anna"))
        assert compact(store, clock() // 10**6)
        assert [segment.name for segment in segments(path)] == ["0000000003.log"]
        assert [base.name for base in bases(path)] == ["0000000003.mdb"]
        store.delete(tokens[1])
        after = picture(store, tokens, ["anna"])
    assert sorted(file.name for file in path.iterdir()) == ["base", "control", "lock", "log", "manifest", "view"]
    for _ in range(2):
        machine.reboot()
        with crudjt.open(path, secret_key=secret_key, clock=clock) as store:
            assert picture(store, tokens, ["anna"]) == after


def test_an_empty_store_can_be_compacted(path: Path, secret_key: str, machine: Machine) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        assert compact(store)
    machine.reboot()
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.stats().sessions == 0
        assert store.read(store.create({"a": 1}))


def test_the_background_thread_compacts_a_log_that_has_outgrown_twice_the_live_data(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "MIN_COMPACTION_BYTES", 100_000)
    with crudjt.open(path, secret_key=secret_key, sync_interval=0.02) as store:
        token = store.create({"n": 0})
        grow_log(store, token)
        wait_for(lambda: store.stats().compacted_at is not None and store.stats().log_bytes < 100_000)
        assert store.read(token)
        assert len(bases(path)) == 1


def test_a_log_that_is_small_or_mostly_alive_is_left_alone(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        token = store.create({"n": 0})
        grow_log(store, token)
        assert not compaction_is_due(store)  # much smaller than MIN_COMPACTION_BYTES
        monkeypatch.setattr(compaction, "MIN_COMPACTION_BYTES", 100_000)
        assert compaction_is_due(store)
        for n in range(300):
            store.create({"n": n, "x": "x" * 3000})
        assert not compaction_is_due(store)


def test_log_of_earlier_segments_counts_until_it_is_compacted(path: Path, secret_key: str, machine: Machine) -> None:
    """Boots end segments too; a rebuild reads them all."""
    with crudjt.open(path, secret_key=secret_key) as store:
        grow_log(store, store.create({}))
        log_bytes = store.stats().log_bytes
    machine.reboot()
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.stats().log_bytes == log_bytes + 4096
        compact(store)
        assert store.stats().log_bytes == 4096


# Others at work meanwhile


def write_until(path: Path, secret_key: str, name: str, ready: Any, stop: Any, results: Any) -> None:
    """Create, update and delete until told to stop; report what was acknowledged."""
    alive: dict[str, dict[str, Any]] = {}
    deleted: list[str] = []
    with crudjt.open(path, secret_key=secret_key, sync_interval=0.01) as store:
        ready.release()
        number = 0
        while not stop.is_set():
            number += 1
            alive[store.create({"by": name, "n": number})] = {"by": name, "n": number}
            token = next(iter(alive))
            if number % 3 == 0:
                assert store.update(token, {"by": name, "updated": number, "x": "x" * 500})
                alive[token] = {"by": name, "updated": number, "x": "x" * 500}
            if number % 4 == 0:
                assert store.delete(token)
                deleted.append(token)
                del alive[token]
            if number % 5 == 0:
                assert store.read(next(iter(alive)))
    results.put((alive, deleted))


def test_writing_while_a_snapshot_comes_to_the_disk_does_not_make_the_tree_grow(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a reader still holds, writers cannot use again; and every later write goes round in all of it."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        token = store.create({"n": 0})
        allocated = (path / "view" / "data.mdb").stat().st_blocks
        sync_data = _filesystem.sync_data

        def write_and_sync(descriptor: int) -> None:
            if Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(path / "base"):
                for n in range(1000):
                    store.update(token, {"n": n})
            sync_data(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(_filesystem, "sync_data", write_and_sync)
            assert compact(store)
        assert store.stats().compacted_at is not None
        assert (path / "view" / "data.mdb").stat().st_blocks == allocated


def compact_often(path: Path, secret_key: str, times: int) -> list[str]:
    with crudjt.open(path, secret_key=secret_key, sync_interval=0.01) as store:
        for _ in range(times):
            wait_for(lambda: compact(store))  # the writers sweep when they begin
        store.create({"by": "compactor"})
        return [segment.name for segment in segments(path)]


@pytest.mark.slow
def test_nothing_is_lost_when_others_write_all_the_time(path: Path, secret_key: str, machine: Machine) -> None:
    """And the other processes follow to the new segment, again and again."""
    ready, stop, results = fork.Semaphore(0), fork.Event(), fork.SimpleQueue()
    writers = [
        fork.Process(target=write_until, args=(path, secret_key, name, ready, stop, results)) for name in ("a", "b")
    ]
    for writer in writers:
        writer.start()
    for _ in writers:
        assert ready.acquire(timeout=30)
    names = in_child(compact_often, path, secret_key, 60)
    stop.set()
    found = [results.get() for _ in writers]
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    assert names == ["0000000061.log"]
    expected = 1
    for _ in range(2):
        with crudjt.open(path, secret_key=secret_key) as store:
            expected = 1
            for alive, deleted in found:
                assert {token: session.data for token in alive if (session := store.read(token))} == alive
                assert not any(store.read(token) for token in deleted)
                assert len(alive) > 50
                expected += len(alive)
            assert store.stats().sessions == expected
        machine.reboot()


def test_a_snapshot_that_the_manifest_has_no_room_to_name_leaves_no_file(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take the room of a disk that is full, and no opening would read it."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        token = store.create({"n": 0})
        grow_log(store, token)
        save = manifest.Manifest.save

        def save_all_but_a_base(saved: manifest.Manifest, directory: Path) -> None:
            if saved.base is not None:
                raise OSError(errno.ENOSPC, "no room")
            save(saved, directory)

        with monkeypatch.context() as patch:
            patch.setattr(manifest.Manifest, "save", save_all_but_a_base)
            with pytest.raises(crudjt.StoreFull):
                compact(store)
        assert bases(path) == []
        before = picture(store, [token])
        assert compact(store)
        assert len(bases(path)) == len(segments(path)) == 1
        assert picture(store, [token]) == before


def test_a_snapshot_that_the_disk_has_no_room_for_is_not_begun(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it would take the room that writers need."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        token = store.create({"n": 0})
        grow_log(store, token)
        before = all_files(path)
        with monkeypatch.context() as patch:
            patch.setattr(_filesystem, "free_bytes", lambda _path: 0)
            with pytest.raises(crudjt.StoreFull, match="no room for a snapshot"):
                compact(store)
        assert all_files(path) == before
        assert store.update(token, {"n": 1})


def test_close_waits_for_a_snapshot_that_another_thread_copies(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LMDB does not wait for a thread that is in it: the process would die."""
    copying, go_on = threading.Event(), threading.Event()
    copy = View.copy

    def copy_slowly(*arguments: Any) -> int:
        copying.set()
        assert go_on.wait(30)
        return copy(*arguments)

    monkeypatch.setattr(View, "copy", copy_slowly)
    store = crudjt.open(path, secret_key=secret_key, sync_interval=QUIET)
    token = store.create({"n": 0})
    with ThreadPoolExecutor(2) as threads:
        compacted = threads.submit(compact, store)
        assert copying.wait(30)
        closed = threads.submit(store.close)
        with pytest.raises(FutureTimeoutError):  # of its own before Python 3.11
            closed.result(0.2)
        go_on.set()
        closed.result(30)
        with contextlib.suppress(crudjt.StoreClosed):
            compacted.result(30)
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.read(token) is not None


def test_only_one_process_compacts_at_a_time(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create({"a": 1})
        with _filesystem.opened(path / "base", os.O_RDONLY | _filesystem.DIRECTORY) as other:
            assert flock.lock(other, exclusive=True)
            assert compact(store) is False
            assert len(segments(path)) == 1
            assert bases(path) == []
        assert compact(store) is True


def test_a_process_that_had_synced_to_the_old_segment_syncs_to_the_new_one(path: Path, secret_key: str) -> None:
    """Two engines, two processes: the one that did not compact finds its segment gone."""
    begun, compacted = fork.Event(), fork.Event()
    other = fork.Process(target=sync_across, args=(path, secret_key, begun, compacted))
    other.start()
    assert begun.wait(30)
    in_child(compact_often, path, secret_key, 3)
    compacted.set()
    other.join(30)
    assert other.exitcode == 0


def sync_across(path: Path, secret_key: str, begun: Any, compacted: Any) -> None:
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        token = store.create({"n": 1})
        store.sync()
        store.create({"n": 2})
        begun.set()
        assert compacted.wait(30)
        store.sync()
        assert store.update(token, {"n": 3})
        assert store.stats().unsynced_bytes > 0
        store.sync()
        assert store.stats().unsynced_bytes == 0


# Death in the middle


def compact_dying(path: Path, secret_key: str, line: int) -> int:
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        return die_at_line(COMPACTION, line, compaction.compact, engine_of(store), 1)


@pytest.mark.slow
@every(21, long=5)
@pytest.mark.parametrize("survivor", ["writes on", "reboots"])
def test_a_process_killed_while_it_compacts_loses_nothing(
    path: Path, tmp_path: Path, secret_key: str, clock: FakeClock, machine: Machine, survivor: str, step: int
) -> None:
    """Killed at a line; the next process writes in the same boot, or after one; and boots follow."""
    # Small, since the store is copied for each line, and copying fills the holes of the view's file.
    with crudjt.open(path, secret_key=secret_key, clock=clock, max_size=MIB) as store:
        original = store.create_many([{"n": n} for n in range(4)], subject="anna")
        compact(store)
        store.update(original[0], {"n": "updated"})
    machine.reboot()
    with crudjt.open(path, secret_key=secret_key, clock=clock) as store:
        original.append(store.create({"second": "segment"}))
        expected = picture(store, original, ["anna"])
    boot_of_original = machine.boot
    lines = in_child(compact_dying, shutil.copytree(path, tmp_path / "counted"), secret_key, 0)
    assert lines > 60
    for line in range(1 if survivor == "reboots" else 3, lines, step):
        copy = Path(shutil.copytree(path, tmp_path / f"killed at {line}"))
        tokens = list(original)
        assert exit_code_of_child(compact_dying, copy, secret_key, line) == -signal.SIGKILL
        for boot in range(3):
            if boot or survivor == "reboots":
                machine.reboot()
            with crudjt.open(copy, secret_key=secret_key, clock=clock) as store:
                assert picture(store, original, ["anna"]).sessions == expected.sessions, (line, boot)
                assert all(store.read(token) for token in tokens), (line, boot)
                assert store.stats().sessions == len(tokens)
                if boot != 1:
                    tokens.append(store.create({"boot": boot}))
        with crudjt.open(copy, secret_key=secret_key, clock=clock) as store:
            assert compact(store)
        assert len(segments(copy)) == len(bases(copy)) == 1
        assert not [*copy.rglob("*.tmp")]
        machine.reboot()
        with crudjt.open(copy, secret_key=secret_key, clock=clock) as store:
            assert all(store.read(token) for token in tokens)
        machine.boot = boot_of_original
