"""The read cache of a process: what stays in it, that its copies share nothing, and that changes do not trust it."""

import copy
import pickle
import random
import sys
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crudjt
from crudjt import Store, VersionConflict, generate_secret_key
from crudjt._backends.embedded.read_cache import Cached, ReadCache
from crudjt._backends.embedded.store import EmbeddedStore
from crudjt._core import operations
from crudjt._core.header import Header
from crudjt._core.tokens import new_id
from crudjt.testing import FakeClock, temporary_store

HEAD = Header(1, 0, 0, 1, 0, 0, 0, 0, 0, bytes(16)).packed()
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()
)
VALUES = SCALARS | st.lists(SCALARS | st.lists(SCALARS)) | st.dictionaries(st.text(), SCALARS)
DATA = st.dictionaries(st.text(), VALUES)


def entry(packed: bytes = b"\x80", subject: str | None = None) -> Cached:
    return Cached(bytes(16), HEAD, subject, None, 0, memoryview(b""), 512, 1, 0, packed)


ENTRY = 501  # bytes that it takes, as the cache counts


@pytest.fixture
def small() -> ReadCache:
    return ReadCache(100 * ENTRY)


def kept(cache_: ReadCache, tokens: list[str]) -> list[str]:
    return [token for token in tokens if cache_.get(token) is not None]


def test_the_oldest_go_first_when_nobody_uses_any(small: ReadCache) -> None:
    tokens = [str(number) for number in range(150)]
    for token in tokens:
        small.keep(token, entry())
    assert kept(small, tokens) == tokens[50:]


def test_what_is_used_stays_while_others_come_and_go(small: ReadCache) -> None:
    popular, others = entry(), [str(number) for number in range(1000)]
    small.keep("popular", popular)
    for token in others:
        popular.used = True
        small.keep(token, entry())
    assert small.get("popular") is popular
    assert len(kept(small, others)) == 99


def test_it_never_holds_more_than_it_may_though_all_are_used(small: ReadCache) -> None:
    tokens = [str(number) for number in range(1000)]
    for token in tokens:
        used = entry()
        used.used = True
        small.keep(token, used)
    assert len(kept(small, tokens)) == 100
    assert small.used_bytes == small.max_bytes


def test_what_it_takes_is_counted_with_data_and_subject(small: ReadCache) -> None:
    small.keep("a", entry(bytes(1000)))
    small.keep("b", entry(subject="x" * 100))
    assert small.used_bytes == 500 + 1000 + ENTRY + 100
    small.keep("a", entry())
    small.drop("a")
    small.drop("a")
    assert small.used_bytes == ENTRY + 100


def test_large_data_takes_the_room_of_many_small(small: ReadCache) -> None:
    tokens = [str(number) for number in range(100)]
    for token in tokens:
        small.keep(token, entry())
    small.keep("large", entry(bytes(50 * ENTRY - 500)))
    assert kept(small, [*tokens, "large"]) == [*tokens[50:], "large"]
    small.keep("larger than all", entry(bytes(100 * ENTRY)))
    assert kept(small, [*tokens, "large", "larger than all"]) == [*tokens[50:], "large"]


def test_what_it_takes_stays_exact_when_threads_share_it(small: ReadCache) -> None:
    tokens = [str(number) for number in range(300)]

    def use(seed: int) -> None:
        chosen = random.Random(seed)
        for _ in range(20_000):
            token = chosen.choice(tokens)
            if (found := small.get(token)) is None:
                small.keep(token, entry(bytes(chosen.randrange(500))))
            elif chosen.random() < 0.3:
                small.drop(token)
            else:
                found.used = True

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(use, range(4)))
    finally:
        sys.setswitchinterval(before)
    left = kept(small, tokens)
    assert 0 < small.used_bytes <= small.max_bytes
    for token in left:
        small.drop(token)
    assert small.used_bytes == 0


@pytest.mark.parametrize(("size", "bound"), [(10_000, 1_000_000), (0, 1_000_000), (10_000, 0)])
def test_a_store_tells_what_its_cache_takes_and_keeps_to_the_option(size: int, bound: int) -> None:
    with temporary_store(max_cache_bytes=bound) as store:
        assert (store.stats().cache_bytes, store.stats().max_cache_bytes) == (0, bound)
        tokens = store.create_many([{"a": bytes(size)}] * 2500)
        for token in tokens:
            store.read(token)
        assert store.stats().cache_bytes <= bound
        assert store.stats().cache_bytes > bound - 2 * size - 1000 or not bound
        assert store.read(tokens[-1]) is not None


@pytest.mark.slow
def test_the_memory_of_a_full_cache_is_what_is_told() -> None:
    with temporary_store(max_cache_bytes=2**40) as store:
        tokens = [token for _ in range(20) for token in store.create_many([{"a": bytes(200)}] * 500)]
        store.read(store.create({}))
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for token in tokens:
                store.read(token)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert 0.6 < grown / store.stats().cache_bytes < 1.05


@pytest.mark.parametrize("change", ["update", "delete", "rotate"])
def test_sessions_that_were_changed_or_ended_make_room_for_new_ones(change: str) -> None:
    with temporary_store(max_cache_bytes=100 * (ENTRY + 3)) as store:
        old = store.create_many([{"n": 1}] * 100)
        for token in old * 2:
            store.read(token)
        for token in old:
            assert store.update(token, {}) if change == "update" else getattr(store, change)(token)
        new = store.create_many([{"n": 2}] * 100)
        for token in new:
            store.read(token)
        assert isinstance(store, EmbeddedStore)
        assert kept(store._cache, new) == new


@pytest.mark.parametrize("change", ["update", "delete", "rotate"])
def test_so_do_those_that_another_session_of_the_same_word_has_outdated(
    monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Of a hundred sessions, two share a word in one case of fifty."""
    monkeypatch.setattr(operations, "new_id", lambda now_ns, place: new_id(now_ns, place)[:12] + bytes(4))
    test_sessions_that_were_changed_or_ended_make_room_for_new_ones(change)


@given(data=DATA)
@settings(max_examples=50)
@pytest.mark.slow
def test_a_cached_read_gives_each_caller_data_of_its_own(data: dict[str, Any]) -> None:
    with temporary_store() as store:
        token = store.create(data)
        for _ in range(3):
            session = store.read(token)
            assert session is not None
            assert session.data == data
            spoil(session.data)


def test_a_session_from_the_cache_can_be_pickled_and_copied() -> None:
    with temporary_store() as store:
        token = store.create({"n": 1}, subject="anna")
        store.read(token)
        session = store.read(token)
        assert session is not None
        for again in (pickle.loads(pickle.dumps(session)), copy.deepcopy(session)):
            assert (again.data, again.id, again.subject) == (session.data, session.id, "anna")


def spoil(value: Any) -> None:
    """Change every map and list in it."""
    if isinstance(value, dict):
        for inner in list(value.values()):
            spoil(inner)
        value["spoilt"] = True
    elif isinstance(value, list):
        for inner in value:
            spoil(inner)
        value.append("spoilt")


@pytest.fixture
def two(tmp_path: Path, secret_key: str) -> Iterator[tuple[Store, Store]]:
    """Two stores on one directory, each with a cache of its own."""
    path = tmp_path / "store"
    with crudjt.open(path, secret_key=secret_key) as one, crudjt.open(path, secret_key=secret_key) as other:
        yield one, other


@pytest.mark.parametrize("subject", [None, "ada"])
def test_what_is_cached_is_changed_from_what_the_store_holds_now(two: tuple[Store, Store], subject: str | None) -> None:
    one, other = two
    token = one.create({"n": 1}, ttl=60, subject=subject)
    assert one.read(token)
    assert other.update(token, {"n": 2}, ttl=None)
    assert one.touch(token, idle=30)
    session = other.read(token)
    assert session is not None
    assert (session.data, session.version, session.subject) == ({"n": 2}, 2, subject)


def test_a_cached_version_does_not_pass_for_the_stored_one(two: tuple[Store, Store]) -> None:
    one, other = two
    token = one.create({"n": 1})
    assert one.read(token)
    assert other.update(token, {"n": 2})
    with pytest.raises(VersionConflict):
        one.update(token, {"n": 3}, if_version=1)


@pytest.mark.parametrize("subject", [None, "ada"])
def test_what_is_cached_ends_once(two: tuple[Store, Store], subject: str | None) -> None:
    one, other = two
    token = one.create({}, subject=subject)
    assert one.read(token)
    assert other.read(token)
    assert other.delete(token)
    assert not one.delete(token)
    assert not one.update(token, {})
    assert not list(one.sessions("ada"))


def test_a_cached_session_of_an_older_key_stays_under_it(tmp_path: Path, secret_key: str) -> None:
    newer = generate_secret_key()
    with crudjt.open(tmp_path / "store", secret_key=secret_key) as before:
        token = before.create({"n": 1}, subject="ada")
    with crudjt.open(tmp_path / "store", secret_key=[secret_key, newer]) as store:
        assert store.read(token)
        assert store.update(token, {"n": 2})
    with crudjt.open(tmp_path / "store", secret_key=secret_key) as after:
        session = after.read(token)
        assert session is not None
        assert session.data == {"n": 2}


def test_a_cached_session_that_has_expired_is_neither_changed_nor_ended(tmp_path: Path, secret_key: str) -> None:
    clock = FakeClock()
    with crudjt.open(tmp_path / "store", secret_key=secret_key, clock=clock) as store:
        token = store.create({}, ttl=10)
        assert store.read(token)
        clock.advance(10)
        assert not store.update(token, {}, ttl=100)
        assert not store.delete(token)
