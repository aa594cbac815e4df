"""The store itself: closing, counters, sweep, sync, what it shows of what it holds."""

import copy
import pickle
import threading
import traceback
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt import aio
from crudjt.testing import FakeClock
from tests.support.interface import SIGNATURES
from tests.support.stores import OpenStore, read
from tests.support.waiting import eventually

TOKEN = "A" * 22

METHODS: dict[str, Callable[[crudjt.Store, Path], Any]] = {
    "create": lambda store, _path: store.create({}),
    "read": lambda store, _path: store.read(TOKEN),
    "peek": lambda store, _path: store.peek(TOKEN),
    "update": lambda store, _path: store.update(TOKEN, {}),
    "touch": lambda store, _path: store.touch(TOKEN),
    "rotate": lambda store, _path: store.rotate(TOKEN),
    "delete": lambda store, _path: store.delete(TOKEN),
    "sessions": lambda store, _path: list(store.sessions("x")),
    "revoke": lambda store, _path: store.revoke("x"),
    "revoke_id": lambda store, _path: store.revoke_id("0" * 32),
    "create_many": lambda store, _path: store.create_many([{}]),
    "read_many": lambda store, _path: store.read_many([TOKEN]),
    "delete_many": lambda store, _path: store.delete_many([TOKEN]),
    "stats": lambda store, _path: store.stats(),
    "sweep": lambda store, _path: store.sweep(),
    "sync": lambda store, _path: store.sync(),
    "backup": lambda store, path: store.backup(path),
    "count": lambda store, _path: store.count(),
    "find": lambda store, _path: store.find("0" * 32),
    "list": lambda store, _path: store.list(),
}


def test_every_public_method_is_in_the_table_above() -> None:
    assert SIGNATURES.keys() == METHODS.keys() | {"close"}


@pytest.mark.parametrize("name", METHODS)
def test_each_method_of_a_closed_store_raises_store_closed(store: crudjt.Store, tmp_path: Path, name: str) -> None:
    METHODS[name](store, tmp_path / "before")
    store.close()
    with pytest.raises(crudjt.StoreClosed):
        METHODS[name](store, tmp_path / "after")


@pytest.mark.parametrize("name", METHODS)
def test_each_method_of_a_closed_store_raises_while_another_is_open(
    open_store: OpenStore, tmp_path: Path, name: str
) -> None:
    store, other = open_store(), open_store()
    store.close()
    with pytest.raises(crudjt.StoreClosed):
        METHODS[name](store, tmp_path / "closed")
    METHODS[name](other, tmp_path / "open")


def test_a_cached_token_of_a_closed_store_raises(store: crudjt.Store) -> None:
    token = store.create({})
    read(store, token)
    read(store, token)
    store.close()
    with pytest.raises(crudjt.StoreClosed):
        store.read(token)


def test_listing_that_had_begun_before_the_close_raises(store: crudjt.Store) -> None:
    store.create_many([{}] * 3, subject="x")
    listing = store.sessions("x")
    next(listing)
    store.close()
    with pytest.raises(crudjt.StoreClosed):
        list(listing)


def test_closing_twice_is_fine(store: crudjt.Store) -> None:
    store.close()
    store.close()


def test_closing_one_store_leaves_the_other_on_the_same_directory_open(open_store: OpenStore) -> None:
    one, other = open_store(), open_store()
    token = one.create({"a": 1})
    one.close()
    one.close()
    assert read(other, token).data == {"a": 1}
    assert other.update(token, {"a": 2})


def test_a_store_is_a_context_manager(open_store: OpenStore) -> None:
    opened = open_store()
    with opened as store:
        assert store is opened
        token = store.create({})
    with pytest.raises(crudjt.StoreClosed):
        opened.read(token)


def test_a_store_is_closed_when_its_block_fails(open_store: OpenStore) -> None:
    opened = open_store()
    with pytest.raises(ZeroDivisionError), opened:
        raise ZeroDivisionError
    with pytest.raises(crudjt.StoreClosed):
        opened.create({})


def test_a_store_can_be_closed_and_opened_many_times(open_store: OpenStore) -> None:
    with open_store() as store:
        tokens = [store.create({"n": 0})]
    for number in range(1, 10):
        with open_store() as store:
            tokens.append(store.create({"n": number}))
            assert [read(store, token).data["n"] for token in tokens] == list(range(number + 1))


# Counters


def test_stats_counts_sessions(store: crudjt.Store, clock: FakeClock) -> None:
    assert store.stats().sessions == 0
    tokens = store.create_many([{}] * 10, ttl=10)
    store.create({})
    store.update(tokens[0], {})
    store.rotate(tokens[1])
    store.delete(tokens[2])
    assert store.stats().sessions == 10
    clock.advance(10)
    assert store.stats().sessions == 10
    assert store.sweep() == 9
    assert store.stats().sessions == 1


def test_stats_are_the_same_from_every_store(open_store: OpenStore) -> None:
    one, other = open_store(), open_store()
    one.create_many([{}] * 10)
    other.create({})
    assert replace(one.stats(), memory_bytes=None) == replace(other.stats(), memory_bytes=None)


@pytest.mark.log
def test_stats_tell_of_the_growth_of_log_and_view(store: crudjt.Store) -> None:
    before = store.stats()
    store.create_many([{"data": bytes(1000)}] * 100)
    after = store.stats()
    assert after.log_bytes - before.log_bytes > 100_000
    assert after.view_bytes - before.view_bytes > 100_000
    assert after.max_size == before.max_size


def test_stats_are_immutable(store: crudjt.Store) -> None:
    with pytest.raises(FrozenInstanceError):
        store.stats().sessions = 5  # type: ignore[misc]  # what is to be refused


@pytest.mark.log
def test_sync_leaves_nothing_of_the_log_unsynced(open_store: OpenStore) -> None:
    store = open_store(sync_interval=3600)
    store.create({})
    assert store.stats().unsynced_bytes > 0
    store.sync()
    assert store.stats().unsynced_bytes == 0
    assert store.stats().synced_at is not None


@pytest.mark.log
def test_a_durable_store_answers_when_the_change_is_in_the_synced_log(open_store: OpenStore) -> None:
    store = open_store(sync_interval=3600, durability="full")
    token = store.create({"n": 1}, max_reads=5, subject="x")
    changes: list[Callable[[], object]] = [
        lambda: store.create({}),
        lambda: store.update(token, {}),
        lambda: store.read(token),
        lambda: store.touch(token, ttl=60),
        lambda: store.read_many([token]),
        lambda: store.create_many([{}, {}]),
        lambda: store.rotate(token),
        lambda: store.delete(store.create({})),
        lambda: store.revoke("x"),
    ]
    for change in changes:
        before = store.stats().log_bytes
        change()
        stats = store.stats()
        assert stats.log_bytes > before
        assert stats.unsynced_bytes == 0


@pytest.mark.log
def test_the_background_thread_syncs_the_log_within_its_interval(open_store: OpenStore) -> None:
    store = open_store(sync_interval=0.01)
    store.create({})
    assert eventually(lambda: store.stats().unsynced_bytes == 0)


# sweep


def test_sweep_removes_what_has_expired_and_nothing_else(open_store: OpenStore, clock: FakeClock) -> None:
    store = open_store(sync_interval=3600)
    expiring = store.create_many([{}] * 600, ttl=10, subject="x") + store.create_many([{}] * 5, idle=10)
    kept = [
        store.create({}),
        store.create({}, ttl=11),
        store.create({}, ttl=60, idle=20),
        store.create({}, max_reads=1),
    ]
    assert store.sweep() == 0
    clock.advance(10)
    assert store.sweep() == 605
    assert store.sweep() == 0
    assert store.stats().sessions == 4
    assert all(store.read(token) for token in kept)
    assert store.read_many(expiring) == [None] * 605


@pytest.mark.log
def test_a_sweep_notes_its_time_beside_the_log(open_store: OpenStore) -> None:
    store = open_store(sync_interval=3600)
    store.sweep()
    assert store.stats().swept_at is not None


def test_a_session_that_was_touched_in_time_is_not_swept(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=10)
    clock.advance(9)
    store.touch(token, ttl=10)
    clock.advance(9)
    assert store.sweep() == 0
    assert store.read(token) is not None


# Nothing shows


def test_what_a_store_holds_is_in_no_repr_and_no_error(store: crudjt.Store, secret_key: str) -> None:
    token = store.create({"password": "hunter2"}, subject="alice")
    session = read(store, token)
    texts = [repr(store), str(store), repr(session), str(session), f"{session!r:>200}", repr(store.stats())]
    failing: list[Callable[[], object]] = [
        lambda: store.update(token, {"password": "hunter2"}, if_version=7),
        lambda: store.update(token, {"password": "hunter2", "more": object()}),
        lambda: store.update(token, {"password": "hunter2" * 10_000}),
        lambda: store.create({"hunter2@example": {1, object(), "hunter2"}}, subject="alice"),
        lambda: store.create({}, subject="alice" * 1000),
        lambda: store.create({}, subject="alice\ud800"),
        lambda: store.revoke_id(token),
        lambda: store.read_many(token),
        lambda: store.read([token]),  # type: ignore[arg-type]  # what is to be refused
        lambda: store.update(token, {}, ttl=token),  # type: ignore[arg-type]  # what is to be refused
        lambda: store.update(token, {}, max_reads=token),  # type: ignore[arg-type]  # what is to be refused
        lambda: store.revoke(["alice"]),  # type: ignore[arg-type]  # what is to be refused
    ]
    for call in failing:
        with pytest.raises(crudjt.CrudjtError) as caught:
            call()
        texts += [str(caught.value), repr(caught.value)]
        texts.append("".join(traceback.format_exception_only(caught.type, caught.value)))
    store.close()
    texts.append(repr(store))
    for text in texts:
        for secret in ("hunter2", "alice", token, secret_key):
            assert secret not in text


def test_the_repr_of_a_store_says_where_it_is_and_whether_it_is_open(store: crudjt.Store) -> None:
    assert repr(store.location)[1:-1] in repr(store)
    assert "open" in repr(store)
    store.close()
    assert "closed" in repr(store)


def test_the_repr_of_a_session_says_its_handle_and_version(store: crudjt.Store) -> None:
    session = read(store, store.create({}))
    assert session.id in repr(session)
    assert "version=1" in repr(session)


def test_threads_may_share_a_store(store: crudjt.Store) -> None:
    """Each of 200 updates under the version it read goes through once: none is lost."""
    token = store.create({"n": 0})
    failures: list[BaseException] = []

    def count() -> None:
        try:
            for _ in range(50):
                for _attempt in range(10_000):
                    session = read(store, token)
                    try:
                        assert store.update(token, {"n": session.data["n"] + 1}, if_version=session.version)
                    except crudjt.VersionConflict:
                        continue
                    break
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            failures.append(error)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert read(store, token).data == {"n": 200}
    assert read(store, token).version == 201


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_store_that_is_pickled_or_copied_says_what_to_do(store: crudjt.Store, way: Callable[[Any], object]) -> None:
    """As `multiprocessing` does where it spawns a process."""
    wanted = "a store cannot be pickled or copied; pass on its location, and open it in each process"
    for each in (store, aio.wrap(store)):
        with pytest.raises(TypeError) as caught:
            way(each)
        assert str(caught.value) == wanted
