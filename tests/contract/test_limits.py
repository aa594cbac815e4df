"""Limits of a session: ttl, idle, max_reads, alone and together, and clocks that step back."""

from datetime import timedelta

import pytest

import crudjt
from crudjt import KEEP
from crudjt.testing import FakeClock
from tests.support.stores import OpenStore, read

HUNDRED_YEARS = 100 * 365.25 * 86_400


def advance_to(clock: FakeClock, moment_ns: int) -> None:
    """Move a clock on to a moment, to the nanosecond even over a century, which a float of seconds cannot."""
    seconds, nanoseconds = divmod(moment_ns - clock(), 10**9)
    clock.advance(seconds)
    clock.advance(nanoseconds / 10**9)
    assert clock() == moment_ns


def expires_in(store: crudjt.Store, token: str) -> float | None:
    """Return the seconds left of a token that must be alive."""
    session = store.peek(token)
    assert session is not None
    return session.expires_in


def reads_left(store: crudjt.Store, token: str) -> int | None:
    """Return the reads left of a token that must be alive."""
    session = store.peek(token)
    assert session is not None
    return session.reads_left


# Durations as timedelta


def limited_by_timedelta(store: crudjt.Store) -> list[str]:
    """Return tokens with a ttl of 60 s and an idle timeout of 30 s, given as `timedelta` to each method."""
    minute, half = timedelta(minutes=1), timedelta(seconds=30)
    tokens = [store.create({}, minute, idle=half), *store.create_many([{}], minute, idle=half)]
    updated, touched, old = store.create({}), store.create({}), store.create({})
    assert store.update(updated, {}, minute, idle=half)
    assert store.touch(touched, minute, idle=half)
    rotated = store.rotate(old, ttl=minute, idle=half)
    assert rotated is not None
    return [*tokens, updated, touched, rotated]


def test_a_timedelta_is_as_good_as_seconds(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = limited_by_timedelta(store)
    assert [expires_in(store, token) for token in tokens] == [30] * 5
    clock.advance(29)
    for token in tokens:
        read(store, token)
    clock.advance(29)
    assert [expires_in(store, token) for token in tokens] == [1] * 5
    for token in tokens:
        read(store, token)
    clock.advance(2)
    assert [store.peek(token) for token in tokens] == [None] * 5


@pytest.mark.parametrize(
    ("ttl", "milliseconds"),
    [
        (timedelta(milliseconds=1), 1),
        (timedelta(microseconds=1), 1),
        (timedelta(microseconds=2499), 2),
        (timedelta(days=1, milliseconds=7), 86_400_007),
        (timedelta(days=1000 * 366), 1000 * 366 * 86_400_000),
    ],
)
def test_a_timedelta_is_rounded_to_milliseconds_and_never_to_nothing(
    store: crudjt.Store, ttl: timedelta, milliseconds: int
) -> None:
    left = expires_in(store, store.create({}, ttl))
    assert left is not None
    assert round(left * 1000) == milliseconds


# ttl


@pytest.mark.parametrize("ttl", [0.001, 0.25, 1, 60, 3600.5, HUNDRED_YEARS])
def test_a_token_is_gone_at_exactly_its_deadline(store: crudjt.Store, clock: FakeClock, ttl: float) -> None:
    """Cached or not: the first token is read before, the second is not."""
    cached, fresh = store.create({}, ttl=ttl, subject="x"), store.create({}, ttl=ttl, subject="x")
    deadline = clock() + round(ttl * 1000) * 1_000_000
    read(store, cached)
    advance_to(clock, deadline - 1)
    assert read(store, cached).expires_in == pytest.approx(1e-9)
    assert store.peek(fresh) is not None
    advance_to(clock, deadline)
    for token in (cached, fresh):
        assert store.read(token) is None
        assert store.peek(token) is None
        assert store.read_many([token]) == [None]
        assert store.update(token, {}) is False
        assert store.touch(token, ttl=60) is False
        assert store.rotate(token) is None
    assert list(store.sessions("x")) == []
    assert store.delete(fresh) is False
    assert store.delete_many([cached]) == 0


def test_without_a_ttl_a_session_never_ends(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({})
    clock.advance(HUNDRED_YEARS)
    assert read(store, token).expires_at is None


def test_a_ttl_below_a_millisecond_is_one_millisecond(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=1e-9)
    assert expires_in(store, token) == pytest.approx(0.001)
    clock.advance(0.001)
    assert store.read(token) is None


def test_a_ttl_of_100_years_is_exact(store: crudjt.Store) -> None:
    session = read(store, store.create({}, ttl=HUNDRED_YEARS))
    assert session.expires_at == session.created_at + timedelta(seconds=HUNDRED_YEARS)


def test_reading_does_not_put_the_end_of_a_ttl_off(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=10)
    for _ in range(9):
        clock.advance(1)
        read(store, token)
    clock.advance(1)
    assert store.read(token) is None


# idle


def test_reading_puts_the_end_of_an_idle_timeout_off(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, idle=10)
    for _ in range(30):
        clock.advance(9)
        assert read(store, token).expires_in == 10
    clock.advance(10)
    assert store.read(token) is None


def test_an_idle_session_that_nobody_reads_ends(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, idle=10)
    clock.advance(9.999)
    assert store.peek(token) is not None
    clock.advance(0.001)
    assert store.read(token) is None


def test_peeking_puts_nothing_off(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, idle=10)
    clock.advance(9)
    assert expires_in(store, token) == 1
    clock.advance(1)
    assert store.peek(token) is None


def test_listing_sessions_puts_nothing_off(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, idle=10, subject="x")
    clock.advance(9)
    assert [session.expires_in for session in store.sessions("x")] == [1]
    clock.advance(1)
    assert store.read(token) is None


@pytest.mark.log
def test_an_idle_session_is_logged_at_most_once_per_tenth_of_its_timeout(store: crudjt.Store, clock: FakeClock) -> None:
    """1000 reads over five idle times write 50 times, and never let the deadline fall back by more than a tenth."""
    token = store.create({}, idle=100)
    writes, log_bytes = 0, store.stats().log_bytes
    for _ in range(1000):
        clock.advance(0.5)
        left = read(store, token).expires_in
        assert left is not None
        assert 90 < left <= 100
        if store.stats().log_bytes != log_bytes:
            writes, log_bytes = writes + 1, store.stats().log_bytes
    assert writes == 50


@pytest.mark.log
def test_reading_a_session_without_limits_logs_nothing(store: crudjt.Store) -> None:
    tokens = [store.create({}), store.create({}, ttl=60)]
    log_bytes = store.stats().log_bytes
    for token in tokens * 10:
        read(store, token)
        store.peek(token)
    assert len(store.read_many(tokens)) == 2
    assert store.stats().log_bytes == log_bytes


def test_an_idle_session_ends_at_its_ttl_however_often_it_is_read(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=25, idle=10)
    for seconds, left in ((9, 10), (9, 7), (6, 1)):
        clock.advance(seconds)
        assert read(store, token).expires_in == left
    clock.advance(0.999)
    assert read(store, token).expires_in == pytest.approx(0.001)
    clock.advance(0.001)
    assert store.read(token) is None


def test_a_session_with_ttl_and_idle_ends_when_it_idles(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=100, idle=10)
    clock.advance(10)
    assert store.read(token) is None


@pytest.mark.log
def test_an_idle_timeout_above_the_ttl_logs_nothing(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=10, idle=100)
    log_bytes = store.stats().log_bytes
    for _ in range(9):
        clock.advance(1)
        read(store, token)
    assert store.stats().log_bytes == log_bytes
    clock.advance(1)
    assert store.read(token) is None


def test_a_slide_in_one_store_is_seen_by_the_other(open_store: OpenStore, clock: FakeClock) -> None:
    one, other = open_store(), open_store()
    token = one.create({}, idle=10)
    read(other, token)
    for _ in range(3):
        clock.advance(6)
        read(one, token)
    assert read(other, token).expires_in == 10


# max_reads


@pytest.mark.parametrize("max_reads", [1, 2, 5])
def test_a_token_is_good_for_exactly_max_reads(store: crudjt.Store, max_reads: int) -> None:
    token = store.create({"a": 1}, max_reads=max_reads)
    assert [read(store, token).reads_left for _ in range(max_reads)] == list(reversed(range(max_reads)))
    assert store.read(token) is None
    assert store.peek(token) is None
    assert store.update(token, {}) is False
    assert store.delete(token) is False


def test_the_last_read_ends_the_session(store: crudjt.Store) -> None:
    token = store.create({}, max_reads=1, subject="x")
    read(store, token)
    assert list(store.sessions("x")) == []
    assert store.rotate(token) is None
    assert store.stats().sessions == 0


def test_looking_burns_no_read(store: crudjt.Store) -> None:
    token = store.create({}, max_reads=2, subject="x")
    for _ in range(5):
        assert reads_left(store, token) == 2
        assert [session.reads_left for session in store.sessions("x")] == [2]
    assert read(store, token).reads_left == 1
    assert reads_left(store, token) == 1


def test_the_largest_number_of_reads_is_counted_exactly(store: crudjt.Store) -> None:
    assert read(store, store.create({}, max_reads=2**63 - 1)).reads_left == 2**63 - 2


def test_reads_are_counted_over_all_stores(open_store: OpenStore) -> None:
    stores = [open_store(), open_store()]
    token = stores[0].create({}, max_reads=6)
    assert [read(stores[turn % 2], token).reads_left for turn in range(6)] == [5, 4, 3, 2, 1, 0]
    assert stores[0].read(token) is None
    assert stores[1].read(token) is None


def test_a_counted_read_slides_the_idle_timeout(store: crudjt.Store, clock: FakeClock) -> None:
    """It is written anyway, so it slides by less than a tenth too."""
    token = store.create({}, max_reads=10, idle=100)
    clock.advance(1)
    assert read(store, token).expires_in == 100
    clock.advance(99.5)
    assert read(store, token).reads_left == 8


def test_unused_reads_end_with_the_ttl(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=10, max_reads=5)
    read(store, token)
    clock.advance(10)
    assert store.read(token) is None


# A clock that steps back


def test_a_clock_that_steps_back_ends_no_session_early(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = [store.create({}, ttl=60), store.create({}, idle=60), store.create({}, ttl=60, max_reads=9, idle=30)]
    for token in tokens:
        read(store, token)
    clock.set_back(3600)
    for token in tokens:
        read(store, token)
        assert store.update(token, {"new": True})
        assert store.touch(token)
    clock.advance(3600 + 29)
    for token in tokens:
        assert read(store, token).data == {"new": True}


def test_a_clock_that_steps_back_keeps_the_deadline(store: crudjt.Store, clock: FakeClock) -> None:
    """A ttl is a point in time, so a correction of the clock does not stretch it once the clock is right."""
    token = store.create({}, ttl=60)
    clock.set_back(3600)
    assert read(store, token).expires_in == 3660
    clock.advance(3660)
    assert store.read(token) is None


def test_what_was_swept_stays_ended_when_the_clock_steps_back(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=10)
    clock.advance(10)
    assert store.sweep() == 1
    clock.set_back(10)
    assert store.read(token) is None


def test_sessions_created_after_the_clock_stepped_back_live_as_long_as_others(
    store: crudjt.Store, clock: FakeClock
) -> None:
    early = store.create({}, ttl=60)
    clock.set_back(3600)
    late = store.create({}, ttl=60)
    clock.advance(60)
    assert store.read(late) is None
    assert store.read(early) is not None


# New limits, by update and touch


def test_update_keeps_the_limits_it_is_not_given(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({"n": 1}, ttl=60, max_reads=5)
    clock.advance(10)
    assert store.update(token, {"n": 2})
    session = read(store, token)
    assert (session.data, session.expires_in, session.reads_left) == ({"n": 2}, 50, 4)
    assert store.update(token, {"n": 3}, ttl=KEEP, max_reads=KEEP, idle=KEEP)
    session = read(store, token)
    assert (session.data, session.expires_in, session.reads_left) == ({"n": 3}, 50, 3)


def test_update_with_none_removes_limits(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=60, max_reads=2, idle=30)
    assert store.update(token, {}, ttl=None, max_reads=None, idle=None)
    clock.advance(HUNDRED_YEARS)
    for _ in range(5):
        session = read(store, token)
        assert (session.reads_left, session.expires_at) == (None, None)


def test_each_limit_can_be_removed_alone(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=60, max_reads=9, idle=30)
    assert store.update(token, {}, idle=None)
    assert (expires_in(store, token), reads_left(store, token)) == (60, 9)
    assert store.update(token, {}, max_reads=None)
    assert (expires_in(store, token), reads_left(store, token)) == (60, None)
    assert store.update(token, {}, idle=30, ttl=None)
    assert expires_in(store, token) == 30
    clock.advance(20)
    assert read(store, token).expires_in == 30


def test_a_new_ttl_counts_from_now(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=60)
    clock.advance(50)
    assert store.update(token, {}, ttl=60)
    assert expires_in(store, token) == 60
    assert store.update(token, {}, ttl=1.5)
    assert expires_in(store, token) == 1.5
    clock.advance(1.5)
    assert store.read(token) is None


def test_a_new_number_of_reads_replaces_the_old_one(store: crudjt.Store) -> None:
    """Also where the reads were unlimited, and the session sits in a cache."""
    token = store.create({})
    read(store, token)
    assert store.update(token, {}, max_reads=2)
    assert [read(store, token).reads_left for _ in range(2)] == [1, 0]
    assert store.read(token) is None


def test_a_new_idle_timeout_counts_from_now(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=100)
    clock.advance(10)
    assert store.update(token, {}, idle=20)
    assert expires_in(store, token) == 20
    assert store.touch(token, idle=5)
    assert expires_in(store, token) == 5
    assert store.touch(token, idle=None)
    assert expires_in(store, token) == 90


def test_update_counts_as_activity(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, idle=10)
    clock.advance(9)
    assert store.update(token, {})
    assert expires_in(store, token) == 10


def test_touch_counts_as_activity(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, idle=10)
    clock.advance(9)
    assert store.touch(token)
    assert expires_in(store, token) == 10


def test_touch_gives_new_limits_and_keeps_the_rest(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({"a": 1}, ttl=60, max_reads=5, subject="x")
    clock.advance(30)
    before = store.peek(token)
    assert store.touch(token, ttl=600)
    after = store.peek(token)
    assert before is not None
    assert after is not None
    assert after.expires_in == 600
    for name in ("data", "id", "subject", "version", "created_at", "reads_left"):
        assert getattr(after, name) == getattr(before, name)


def test_touch_with_none_removes_the_ttl(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=60)
    assert store.touch(token, ttl=None)
    clock.advance(HUNDRED_YEARS)
    assert read(store, token).expires_at is None
