"""Listings, counts and lookups by id, for operators; `StoreContract` has what every backend keeps."""

from itertools import pairwise
from pathlib import Path

import pytest

import crudjt
from crudjt.testing import FakeClock
from tests.support.embedded import open_readers
from tests.support.stores import OpenStore, read


def ids_of(store: crudjt.Store, limit: int = 100) -> list[str]:
    """Return the ids of all pages, without the cursors of sessions that may have gone."""
    page = store.list(limit=limit)
    found = [session.id for session in page]
    while page.next is not None:
        page = store.list(limit=limit, after=page.next)
        found += [session.id for session in page]
    return found


def test_a_long_listing_has_each_session_once_and_in_order(store: crudjt.Store, clock: FakeClock) -> None:
    """Also where sessions were made in the same nanosecond, and where the pages pass over many that have ended."""
    store.create_many([{}] * 300, ttl=1)
    made = [read(store, token).id for token in store.create_many([{}] * 40, subject="x")]
    clock.advance(1)
    store.create_many([{}] * 700, ttl=1)
    made += [read(store, token).id for token in store.create_many([{}] * 5)]
    clock.advance(1)
    found = ids_of(store, limit=15)
    assert sorted(found) == sorted(made)
    assert all(newer > older for newer, older in pairwise(found))
    assert store.count() == 45
    assert store.count("x") == 40


def test_a_rotated_session_is_listed_as_a_new_one(store: crudjt.Store, clock: FakeClock) -> None:
    """By its new id; it keeps the time at which it was created."""
    old = store.create({})
    created = read(store, old).created_at
    clock.advance(10)
    other = read(store, store.create({})).id
    clock.advance(10)
    new = store.rotate(old)
    assert new is not None
    listed = store.list()
    assert [session.id for session in listed] == [read(store, new).id, other]
    assert listed.sessions[0].created_at == created
    assert [session.id for session in store.list(created_before=listed.sessions[1].created_at)] == [read(store, new).id]


@pytest.mark.any_key
def test_a_session_of_an_older_key_is_listed_and_one_of_an_unknown_key_is_not(
    open_store: OpenStore, clock: FakeClock
) -> None:
    """Only counting needs no key."""
    old, new = crudjt.generate_secret_key(), crudjt.generate_secret_key()
    with open_store(secret_key=old) as store:
        first = read(store, store.create({}, subject="x")).id
    clock.advance(1)
    both = open_store(secret_key=[old, new])
    second = read(both, both.create({}, subject="x")).id
    assert ids_of(both) == [second, first]
    assert [session.id for session in both.list(subject="x", limit=1)] == [second]
    assert [session.id for session in both.list(subject="x", after=second)] == [first]
    alone = open_store(secret_key=new)
    assert ids_of(alone) == [second]
    assert alone.find(first) is None
    assert (alone.count(), alone.count("x"), both.count("x")) == (2, 1, 2)


def test_neither_a_page_nor_a_follower_keeps_a_transaction_open(path: Path, secret_key: str) -> None:
    """Else the pages of ended sessions could not be used again, for as long as an operator looks at a list."""
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create_many([{}] * 20, subject="x")
        pages = [store.list(limit=5), store.list(limit=5, subject="x")]
        events = store.events("oldest")
        assert next(events).kind == "begun"
        assert all(page.next is not None for page in pages)
        assert open_readers(store) == 0
