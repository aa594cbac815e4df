"""The limit of the store's own: kept by every write, whatever was refused before, and never in the way of an end."""

import contextlib
import os
import signal
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt._backends.embedded.engine import registry
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.sweep import Reclaimer
from crudjt._backends.embedded.engine.view import View
from crudjt.testing import FakeClock
from tests.support.disks import QUIET
from tests.support.embedded import engine_of
from tests.support.processes import Fork

pytestmark = pytest.mark.slow

MIB = 1024**2


def fill(store: crudjt.Store, size: int = 100, ttl: float | None = None) -> list[str]:
    """Create sessions until the store is full."""
    tokens = []
    with contextlib.suppress(crudjt.StoreFull):
        while True:
            tokens.append(store.create({"pad": "x" * size}, ttl, subject="anna"))
    return tokens


def size_of(store: crudjt.Store) -> float:
    stats = store.stats()
    return stats.view_bytes / stats.max_size


@pytest.fixture
def small(path: Path, secret_key: str, clock: FakeClock) -> crudjt.Store:
    return crudjt.open(path, secret_key=secret_key, clock=clock, max_size=MIB, sync_interval=QUIET)


def test_a_full_store_does_not_grow_however_often_clients_try_again(small: crudjt.Store) -> None:
    with small as store:
        tokens = fill(store)
        for size in (400, 2000, 100, 400):
            for _ in range(300):
                with contextlib.suppress(crudjt.StoreFull):  # a small one may fit into a page that is not full
                    store.create({"pad": "x" * size})
            with pytest.raises(crudjt.StoreFull, match="max_size"):
                store.create_many([{"pad": "x" * size}] * 100)
        assert size_of(store) <= 1.05
        assert all(store.peek(token) for token in tokens)


def test_a_writer_that_is_killed_where_it_would_be_refused_lets_no_other_pass(small: crudjt.Store) -> None:
    """The transaction of the dead writer did not happen, so it may have changed nothing that others go by."""
    with small as store:
        fill(store)

        def die_at_the_check() -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(View, "check_size", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
                store.create({"pad": "x" * 400})

        for _ in range(20):
            assert Fork(die_at_the_check).wait().killed
            with pytest.raises(crudjt.StoreFull):
                store.create({"pad": "x" * 2000})
        assert size_of(store) <= 1.05


def test_every_session_of_a_full_store_can_be_rotated_again_and_again(small: crudjt.Store) -> None:
    with small as store:
        tokens: list[str | None] = [*fill(store)]
        for n in range(3):
            for at in (*range(n, len(tokens), 3), *range(len(tokens))):
                token = tokens[at]
                assert token is not None
                tokens[at] = store.rotate(token)
        assert all(token and store.peek(token) for token in tokens)
        assert size_of(store) <= 2


@pytest.mark.parametrize("way", ["delete", "delete_many", "revoke", "revoke_id", "sweep"])
def test_a_full_store_can_always_end_sessions_and_then_begin_others(
    small: crudjt.Store, clock: FakeClock, way: str
) -> None:
    with small as store:
        tokens = fill(store, ttl=100)
        for token in tokens[::2]:
            assert store.rotate(token)  # the tree is beyond max_size now
        if way == "delete":
            assert sum(store.delete(token) for token in tokens) == len(tokens[1::2])
        elif way == "delete_many":
            assert store.delete_many(tokens) == len(tokens[1::2])
        elif way == "revoke":
            assert store.revoke("anna") == len(tokens)
        elif way == "revoke_id":
            assert all(store.revoke_id(session.id) for session in list(store.sessions("anna")))
        else:
            clock.advance(100)
            assert store.sweep() == len(tokens)
        assert store.create({"pad": "x" * 400})


def test_what_has_expired_makes_room_before_a_write_is_refused(small: crudjt.Store, clock: FakeClock) -> None:
    with small as store:
        first = fill(store, ttl=100)
        clock.advance(100)
        second = [store.create({"pad": "x" * 100}) for _ in range(len(first) * 9 // 10)]
        assert all(store.peek(token) for token in second)
        assert size_of(store) <= 1.05


def test_a_clock_that_is_ahead_for_a_moment_makes_no_room_of_live_sessions(
    small: crudjt.Store, clock: FakeClock
) -> None:
    with small as store:
        tokens = fill(store, ttl=1000)
        shared = registry._registry.known(engine_of(store).directory)
        assert shared is not None
        assert shared.background is not None
        shared.background._look_after()  # as its thread does now and then
        clock.advance(2000)
        with pytest.raises(crudjt.StoreFull):
            store.create({"pad": "x" * 2000})
        clock.set_back(2000)
        assert all(store.peek(token) for token in tokens)


def test_a_store_full_of_live_sessions_is_not_searched_at_each_refusal(
    small: crudjt.Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search may take tens of milliseconds, and a client that tries again would cost a processor."""
    looks = 0
    scan = Engine.scan

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal looks
        looks += 1
        return scan(*arguments, **options)

    def looks_of_a_refusal() -> int:
        before = looks
        with pytest.raises(crudjt.StoreFull):
            store.create({"pad": "x" * 2000})
        return looks - before

    monkeypatch.setattr(Engine, "scan", counted)
    with small as store:
        fill(store)
        for _ in range(20):  # each looks for some milliseconds, until one has seen all
            looks_of_a_refusal()
        assert looks_of_a_refusal() == 0
        clock.advance(2)
        assert looks_of_a_refusal() > 0


def test_expired_sessions_behind_many_that_live_are_found(path: Path, secret_key: str, clock: FakeClock) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock, max_size=2 * MIB, sync_interval=QUIET) as store:
        living = [store.create({"pad": "x" * 100}) for _ in range(5000)]
        expired = fill(store, ttl=100)
        clock.advance(99)
        with pytest.raises(crudjt.StoreFull):
            store.create_many([{"pad": "x" * 100}] * 200)
        clock.advance(1)
        for _ in range(len(expired) * 9 // 10):
            store.create({"pad": "x" * 100})
        assert all(store.peek(token) for token in living)


def test_an_update_that_needs_room_gets_that_of_expired_sessions(small: crudjt.Store, clock: FakeClock) -> None:
    with small as store:
        lasting = [store.create({"n": 0}) for _ in range(100)]
        fill(store, ttl=100)
        clock.advance(100)
        assert all(store.update(token, {"pad": "x" * 1500}) for token in lasting)


def test_a_write_that_is_refused_searches_for_a_bounded_time(
    small: crudjt.Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of processor time; the search goes on at the next one."""
    looks = count()
    with small as store:
        fill(store)
        clock.advance(1)
        engine, batches = engine_of(store), list[None]()
        scan = Engine.scan

        def counted(*given: Any, **named: Any) -> Any:
            batches.append(None)
            return scan(*given, **named)

        monkeypatch.setattr(time, "thread_time", lambda: next(looks) * 0.02)
        monkeypatch.setattr(Engine, "scan", counted)
        assert not engine.reclaim()
        assert 0 < len(batches) < 6
        assert store.stats().sessions > 64 * 6


def test_a_search_for_room_begins_again_where_it_found_some_before(store: crudjt.Store, clock: FakeClock) -> None:
    """It goes on where it stopped, and what has expired since may lie before that."""
    tokens = store.create_many([{"n": n} for n in range(1000)])
    ids = {token: session.id for token in tokens if (session := store.peek(token))}
    first = sorted(tokens, key=ids.__getitem__)[:512]
    for at, token in enumerate(first):
        assert store.touch(token, ttl=200 if at % 2 else 100)
    reclaim = Reclaimer(engine_of(store), lambda: clock)
    clock.advance(100)
    assert reclaim()
    assert store.stats().sessions == 744
    clock.advance(100)
    assert reclaim()
    assert store.stats().sessions == 488
