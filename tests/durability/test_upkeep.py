"""What looks after a store: where the clock was wrong, where readers were killed, and where no threads can run."""

import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import crudjt
from crudjt._backends.embedded.engine import background, compaction, sweep
from crudjt.testing import FakeClock
from tests.support.disks import wait_for
from tests.support.embedded import engine_of, reader_pids
from tests.support.processes import Fork

INTERVAL = 0.05
TEN_YEARS = 10 * 365 * 86_400.0


class ClockAheadForAWhile(FakeClock):
    """A clock that is ten years ahead for a number of looks at it."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0
        self.looks = 0

    def __call__(self) -> int:
        self.looks += 1
        if not self.ahead:
            return super().__call__()
        self.ahead -= 1
        return super().__call__() + round(TEN_YEARS * 10**9)


def test_a_clock_that_is_wrong_for_a_moment_has_no_live_session_removed(path: Path, secret_key: str) -> None:
    clock = ClockAheadForAWhile()
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=0.01, sweep_interval=1000) as store:
        tokens = store.create_many([{"n": n} for n in range(100)], ttl=1000)
        wait_for(lambda: store.stats().swept_at is not None and clock.looks > 110)
        clock.ahead = 2
        wait_for(lambda: not clock.ahead)
        looks = clock.looks
        wait_for(lambda: clock.looks > looks + 10)
        assert all(store.peek(token) for token in tokens)
        assert store.stats().sessions == 100


def test_a_sweep_ends_where_the_clock_was_set_while_it_runs(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ClockAheadForAWhile()
    pause, rests = background._Rounds.pause, list[float]()

    def set_clock(rounds: background._Rounds, seconds: float) -> None:
        pause(rounds, 0)
        if seconds and not rests:
            clock.ahead = 1
            rests.append(seconds)

    monkeypatch.setattr(background._Rounds, "pause", set_clock)
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=0.01, sweep_interval=100) as store:
        store.create_many([{"n": n} for n in range(200)], ttl=1000)
        clock.advance(101)
        wait_for(lambda: bool(rests) and not clock.ahead)
        looks = clock.looks
        wait_for(lambda: clock.looks > looks + 10)
        assert store.stats().sessions == 200


def test_a_clock_that_was_ahead_once_ends_no_sweeping(path: Path, secret_key: str, clock: FakeClock) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=0.01, sweep_interval=100) as store:
        clock.advance(TEN_YEARS)
        store.sweep()
        clock.set_back(TEN_YEARS)
        store.create({"n": 1}, ttl=10)
        lasting = store.create({"n": 2}, ttl=1000)
        clock.advance(11)
        wait_for(lambda: store.stats().sessions == 1)
        assert store.peek(lasting)


def test_upkeep_that_has_failed_is_not_tried_again_at_each_round(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk may be full for hours: each try costs time, and a line in the log."""
    clock = ClockAheadForAWhile()
    tries: list[None] = []

    def refuse(*_: object) -> bool:
        tries.append(None)
        raise crudjt.StoreFull(path, "the disk has no room for a snapshot")

    monkeypatch.setattr(compaction, "compaction_is_due", refuse)
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=0.01) as store:
        wait_for(lambda: bool(tries))
        looks = clock.looks
        wait_for(lambda: clock.looks > looks + 10)
        assert len(tries) == 1
        assert store.create({"n": 1})
    assert caplog.text.count("postponed by 60 s") == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_the_slots_of_killed_readers_are_freed_and_the_view_stops_growing(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies while it reads keeps the pages that it saw from being used again."""
    monkeypatch.setattr(background, "_READER_CHECK_SECONDS", 0.0)

    def read_and_die() -> None:
        reading = engine_of(store).view.snapshot()
        assert reading.id() > 0
        os.kill(os.getpid(), signal.SIGKILL)

    with crudjt.open(path, secret_key=secret_key, sync_interval=0.01) as store:
        token = store.create({"n": 0})
        reader = Fork(read_and_die)
        assert reader.wait().killed

        def last_page_after_more_updates() -> int:
            for n in range(100):
                store.update(token, {"n": n, "pad": "x" * 3000})
            return int(engine_of(store).view.env.info()["last_pgno"])

        wait_for(lambda: last_page_after_more_updates() == last_page_after_more_updates())
        wait_for(lambda: str(reader.pid) not in reader_pids(store))


@pytest.fixture(params=["uwsgi tells so", "they make no rounds"])
def without_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that runs no threads but that of the caller."""
    if request.param == "uwsgi tells so":
        monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(has_threads=0))
        monkeypatch.setattr(background, "_LATE_SECONDS", 10**6)
    else:
        monkeypatch.setattr(background._Rounds, "_run", lambda self: self._stopping.wait())
        monkeypatch.setattr(background, "_LATE_SECONDS", 0)


@pytest.mark.usefixtures("without_threads")
@pytest.mark.slow
def test_where_no_threads_run_the_next_write_syncs_when_the_interval_has_passed(
    path: Path, secret_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, "crudjt"),
        crudjt.open(path, secret_key=secret_key, sync_interval=INTERVAL) as store,
    ):
        token = store.create({"n": 0})
        time.sleep(2 * INTERVAL)
        for n in range(40):  # one of them looks whether threads run
            store.create({"n": n})
        for change in (
            lambda: store.create({"n": 1}),
            lambda: store.update(token, {"n": 2}),
            lambda: store.create_many([{"n": 3}] * 300),
            lambda: store.delete(token),
        ):
            time.sleep(2 * INTERVAL)
            change()
            assert store.stats().unsynced_bytes == 0
        # Not at each write: the interval is longer than some of a hundred are apart, on a busy machine too.
        assert any(store.create({"n": n}) and store.stats().unsynced_bytes for n in range(100))
    assert [record.getMessage().count("background threads do not run") for record in caplog.records] == [1]


@pytest.mark.usefixtures("without_threads")
def test_where_no_threads_run_writes_sweep_and_compact(
    path: Path, secret_key: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "MIN_COMPACTION_BYTES", 100_000)
    with crudjt.open(
        path, secret_key=secret_key, clock=clock, sync_interval=0.001, sweep_interval=600, durability="full"
    ) as store:
        store.create_many([{"n": n} for n in range(3000)], ttl=10)
        lasting = store.create({"n": 0})

        for _ in range(1000):
            clock.advance(59)  # less at once than if it had been set
            for n in range(20):
                store.update(lasting, {"n": n, "pad": "x" * 3000})
            time.sleep(0.002)
            if store.stats().sessions == 1 and store.stats().compacted_at is not None:
                break
        assert store.stats().sessions == 1
        assert store.stats().compacted_at is not None
        assert store.peek(lasting)


@pytest.mark.usefixtures("without_threads")
def test_where_no_threads_run_a_sweep_counts_only_when_it_has_seen_every_session(
    path: Path, secret_key: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write does a small part of it."""
    monkeypatch.setattr(sweep, "_RECLAIM_SECONDS", 0.0005)
    with crudjt.open(
        path, secret_key=secret_key, clock=clock, sync_interval=0.001, sweep_interval=600, durability="full"
    ) as store:
        store.create_many([{"n": n} for n in range(5000)], ttl=10)
        lasting = store.create({"n": 0})
        first = store.stats().swept_at
        for _ in range(12):
            clock.advance(59)  # less at once than if it had been set
            for n in range(40):
                store.update(lasting, {"n": n})
            time.sleep(0.002)

        def swept() -> bool:
            for n in range(40):  # one of them looks whether threads run
                store.update(lasting, {"n": n})
            return store.stats().swept_at != first

        wait_for(swept)
        assert store.stats().sessions == 1


@pytest.mark.slow
def test_where_threads_run_writes_leave_the_work_to_them(
    path: Path, secret_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, "crudjt"),
        crudjt.open(path, secret_key=secret_key, sync_interval=INTERVAL) as store,
    ):
        for n in range(300):
            store.create({"n": n})
            time.sleep(0.001)
        wait_for(lambda: store.stats().unsynced_bytes == 0)
    assert caplog.records == []
