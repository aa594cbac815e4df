"""What has expired is removed at the start and now and then, and its space is used again."""

import os
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.engine import compaction, sweep
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._core.record import MIN_RECORD_BYTES
from crudjt._filesystem import flock
from crudjt.testing import FakeClock
from tests.support.disks import QUIET, Machine, data_file, fork, in_child, picture, segments, wait_for
from tests.support.embedded import engine_of, record_of, spoil, stored
from tests.support.stores import read


def test_a_sweep_removes_expired_sessions_with_their_subject_entries_and_nothing_else(
    store: crudjt.Store, clock: FakeClock
) -> None:
    lasting = [
        store.create({"n": 1}, subject="anna"),
        store.create({"n": 2}, ttl=1000, subject="anna"),
        store.create({"n": 3}, idle=1000, max_reads=2),
    ]
    ending = [
        store.create({"n": 4}, ttl=10, subject="anna"),
        store.create({"n": 5}, idle=10, subject="ben"),
        store.create({"n": 6}, ttl=10, max_reads=9),
    ]
    clock.advance(9.999)
    assert store.sweep() == 0
    before = picture(store, lasting, ["anna"])
    clock.advance(0.001)
    assert store.stats().sessions == 6  # expired ones count until they are swept
    assert store.sweep() == 3
    assert store.stats().sessions == 3
    assert all(store.peek(token) is None for token in ending)
    assert picture(store, lasting, ["anna"]).sessions == before.sessions
    assert len(stored(store)) == 5  # three sessions, two entries of anna
    assert list(store.sessions("ben")) == []
    assert store.sweep() == 0


@pytest.mark.parametrize("format_", [0, 2, 255])
def test_a_sweep_leaves_records_of_an_unknown_format(store: crudjt.Store, clock: FakeClock, format_: int) -> None:
    """A newer version has written them, and may say in another place when they expire."""
    newer = read(store, store.create({"n": 1}, ttl=10))
    store.create({"n": 2}, ttl=10)
    spoil(store, newer.id, lambda record: record.__setitem__(0, format_))
    before = record_of(store, newer.id)
    clock.advance(10)
    assert store.sweep() == 1
    assert store.sweep() == 0
    assert record_of(store, newer.id) == before


@pytest.mark.parametrize("length", [0, 1, 20, MIN_RECORD_BYTES - 1])
def test_a_sweep_leaves_records_that_are_cut_short(store: crudjt.Store, clock: FakeClock, length: int) -> None:
    """They are reported where they are read, and not taken away unseen."""
    cut = read(store, store.create({"n": 1}, ttl=10))
    spoil(store, cut.id, lambda record: record.__delitem__(slice(length, None)))
    clock.advance(10)
    assert store.sweep() == 0
    assert len(record_of(store, cut.id)) == length


def test_what_was_swept_stays_away_after_a_boot(
    path: Path, secret_key: str, clock: FakeClock, machine: Machine
) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        store.create_many([{"n": n} for n in range(600)], ttl=10, subject="anna")
        store.create({"lasting": 1}, subject="anna")
        clock.advance(10)
        assert store.sweep() == 600
        before = picture(store)
    machine.reboot()
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        assert picture(store) == before
        assert store.stats().sessions == 1


def test_the_background_thread_sweeps_at_the_start(
    path: Path, secret_key: str, clock: FakeClock, machine: Machine
) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        store.create({"n": 1}, ttl=10)
        store.create({"n": 2})
    machine.reboot()
    clock.advance(20)
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=0.01) as store:
        wait_for(lambda: store.stats().swept_at is not None)
        assert store.stats().sessions == 1


def test_an_empty_store_counts_as_swept_and_a_filled_one_does_not(
    path: Path, secret_key: str, clock: FakeClock, machine: Machine
) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        assert store.stats().swept_at is not None
        store.create({"n": 1})
    machine.reboot()
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        assert store.stats().swept_at is None


def test_the_background_thread_sweeps_again_when_the_interval_has_passed_and_not_before(
    path: Path, secret_key: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = count_rounds(monkeypatch)
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=0.01, sweep_interval=100) as store:
        wait_for(lambda: store.stats().swept_at is not None)
        first = store.stats().swept_at
        for _ in range(3):
            store.create({"n": 1}, ttl=10)
            clock.advance(33)
            before = len(rounds)
            wait_for(lambda before=before: len(rounds) > before + 1)  # type: ignore[misc] # mypy does not infer this
            assert store.stats().swept_at == first
        assert store.stats().sessions == 3
        clock.advance(1)
        wait_for(lambda: store.stats().swept_at != first)
        assert store.stats().sessions == 0


@pytest.mark.slow
def test_close_does_not_wait_for_the_end_of_a_sweep(path: Path, secret_key: str, clock: FakeClock) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        store.create_many([{"n": n} for n in range(50_000)], ttl=10)
        began_empty = store.stats().swept_at
        clock.advance(86_400)
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=0.01) as store:
        wait_for(lambda: store.stats().sessions < 50_000)
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        assert store.stats().sessions > 0
        assert store.stats().swept_at == began_empty
        assert store.sweep() > 0


def count_rounds(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that grows by one at the end of each round of upkeep, swept or not."""
    rounds: list[None] = []

    def is_due(_engine: Engine) -> bool:
        rounds.append(None)
        return False

    monkeypatch.setattr(compaction, "compaction_is_due", is_due)
    return rounds


def test_a_large_sweep_goes_in_small_transactions_and_lets_others_in_between(
    path: Path, secret_key: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        store.create_many([{"n": n} for n in range(2000)], ttl=10)
        kept = store.create({"kept": 0})
        clock.advance(10)
        sizes: list[int] = []
        versions: list[int] = []
        write = Engine.write

        def watched(engine: Engine, decide: Any, *others: Any, **more: Any) -> Any:
            removed = write(engine, decide, *others, **more)
            if decide is sweep._remove_expired:
                sizes.append(removed)
                assert store.update(kept, {"kept": len(sizes)})
                session = store.read(kept)
                assert session is not None
                versions.append(session.version)
            return removed

        monkeypatch.setattr(Engine, "write", watched)
        assert store.sweep() == 2000
        assert sum(sizes) == 2000
        assert max(sizes) <= 500
        assert versions == list(range(2, 2 + len(sizes)))


def test_a_sweep_in_the_background_rests_far_longer_than_it_works(
    path: Path, secret_key: str, clock: FakeClock
) -> None:
    """Whatever a batch costs: other threads of the process wait for the interpreter while it works."""
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        store.create_many([{"n": n} for n in range(2000)], ttl=10)
        clock.advance(10)
        rests: list[float] = []
        began = time.thread_time()
        assert sweep.sweep(engine_of(store), clock, rests.append) == 2000
        assert sum(rests) > 10 * (time.thread_time() - began)
        assert len(rests) > 20


@pytest.mark.parametrize(("worked", "rest"), [(0.0, 0.0), (0.01, 0.2), (1.0, 0.25)])
def test_a_sweep_rests_for_what_its_thread_has_worked_and_never_for_long(
    path: Path, secret_key: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, worked: float, rest: float
) -> None:
    """In a busy process it mostly waits for the interpreter: if that counted, it would never end."""
    looks = count()
    monkeypatch.setattr(time, "thread_time", lambda: next(looks) * worked)
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        store.create_many([{"n": n} for n in range(200)], ttl=10)
        clock.advance(10)
        rests: list[float] = []
        assert sweep.sweep(engine_of(store), clock, rests.append) == 200
        assert rests == pytest.approx([rest] * len(rests))
        assert len(rests) > 2


def test_a_log_that_grows_while_a_sweep_runs_is_compacted(
    path: Path, secret_key: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep of many sessions takes minutes, and no other process may compact for that time."""
    monkeypatch.setattr(compaction, "MIN_COMPACTION_BYTES", 100_000)
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        store.create_many([{"n": n} for n in range(1000)])
        token = store.create({"n": 0})
        most = 0

        def update(_seconds: float) -> None:
            nonlocal most
            for n in range(200):
                store.update(token, {"n": n, "pad": "x" * 3000})
            most = max(most, store.stats().log_bytes)

        assert sweep.sweep(engine_of(store), clock, update) == 0
        assert store.stats().compacted_at is not None
        assert most < 3_000_000  # of 9 MB that were written


def test_a_sweep_goes_on_where_the_log_cannot_be_compacted(
    path: Path, secret_key: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "MIN_COMPACTION_BYTES", 0)
    tries: list[None] = []

    def refuse(*_: object) -> None:
        tries.append(None)
        raise crudjt.StoreFull(path, "the disk has no room for a snapshot")

    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        store.create_many([{"n": n} for n in range(1000)], ttl=10)
        clock.advance(10)
        monkeypatch.setattr(compaction, "compact_alone", refuse)
        monkeypatch.setattr(compaction, "_LOG_TO_LIVE", 0)
        assert store.sweep() == 1000
        assert len(tries) == 1


def test_a_session_that_is_extended_while_a_sweep_runs_is_not_removed(
    path: Path, secret_key: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep looks again under the write lock: by then the clock may have been set back, and the session touched."""
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        token = store.create({"n": 1}, ttl=10)
        clock.advance(10)
        write = Engine.write

        def touched_first(engine: Engine, decide: Any, *others: Any, **more: Any) -> Any:
            if decide is sweep._remove_expired:
                monkeypatch.setattr(Engine, "write", write)
                clock.set_back(5)
                assert store.touch(token, ttl=1000)
                clock.advance(5)
            return write(engine, decide, *others, **more)

        monkeypatch.setattr(Engine, "write", touched_first)
        assert store.sweep() == 0
        assert store.read(token) is not None


def test_the_space_of_swept_sessions_is_used_again(path: Path, secret_key: str, clock: FakeClock) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        pages: list[int] = []
        for _ in range(30):
            store.create_many([{"n": n, "x": "x" * 200} for n in range(300)], ttl=10, subject="anna")
            clock.advance(10)
            assert store.sweep() == 300
            pages.append(engine_of(store).view.env.info()["last_pgno"])
        assert store.stats().sessions == 0
        assert pages[-1] < 2 * pages[5]  # without reuse it would be five times as much
        assert data_file(path).stat().st_blocks * 512 < 32 * 1024**2


def test_one_process_sweeps_at_a_time(path: Path, secret_key: str, clock: FakeClock) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        store.create({"n": 1}, ttl=10)
        clock.advance(10)
        with _filesystem.opened(path / "base", os.O_RDONLY | _filesystem.DIRECTORY) as other:
            assert flock.lock(other, exclusive=True)
            assert store.sweep() == 0
            assert store.stats().sessions == 1
        assert store.sweep() == 1


def sweep_with_others(path: Path, secret_key: str, clock: FakeClock, barrier: Any, results: Any) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        barrier.wait(30)
        results.put(store.sweep())
        barrier.wait(30)


def test_processes_that_sweep_at_once_remove_each_session_once(path: Path, secret_key: str, clock: FakeClock) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=QUIET) as store:
        store.create_many([{"n": n} for n in range(3000)], ttl=10)
        store.create({"lasting": 1})
    clock.advance(10)
    barrier, results = fork.Barrier(3), fork.SimpleQueue()
    sweepers = [
        fork.Process(target=sweep_with_others, args=(path, secret_key, clock, barrier, results)) for _ in range(3)
    ]
    for sweeper in sweepers:
        sweeper.start()
    for sweeper in sweepers:
        sweeper.join(30)
        assert sweeper.exitcode == 0
    assert sum(results.get() for _ in sweepers) == 3000
    assert in_child(sessions_of, path, secret_key) == 1
    assert len(segments(path)) == 1


def sessions_of(path: Path, secret_key: str) -> int:
    with crudjt.open(path, secret_key=secret_key) as store:
        return store.stats().sessions
