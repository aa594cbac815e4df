"""A subject has at most `max_sessions` live sessions: the oldest end for a new one, or the new one is refused."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

import crudjt
from crudjt.testing import FakeClock
from tests.support.stores import OpenStore

PATIENCE = 60.0


def begin(store: crudjt.Store, clock: FakeClock, count: int, subject: str = "alice") -> list[str]:
    tokens = []
    for _ in range(count):
        tokens.append(store.create({}, subject=subject))
        clock.advance(1)
    return tokens


def alive(store: crudjt.Store, tokens: list[str]) -> list[bool]:
    return [store.peek(token) is not None for token in tokens]


def test_the_oldest_sessions_end_for_a_new_one(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = begin(store, clock, 4)
    other = store.create({}, subject="bob")
    new = store.create({"n": 1}, subject="alice", max_sessions=3)
    assert alive(store, tokens) == [False, False, True, True]
    assert store.peek(new) is not None
    assert store.peek(other) is not None
    assert len(list(store.sessions("alice"))) == 3


def test_where_there_is_room_none_ends(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = begin(store, clock, 2)
    tokens.append(store.create({}, subject="alice", max_sessions=3))
    assert alive(store, tokens) == [True, True, True]


def test_one_session_is_the_least(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = begin(store, clock, 2)
    tokens.append(store.create({}, subject="alice", max_sessions=1))
    assert alive(store, tokens) == [False, False, True]


def test_a_new_session_is_refused_if_that_is_said(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = begin(store, clock, 2)
    with pytest.raises(crudjt.TooManySessions) as caught:
        store.create({}, subject="alice", max_sessions=2, when_full="refuse")
    assert caught.value.max_sessions == 2
    assert "alice" not in str(caught.value)
    assert alive(store, tokens) == [True, True]
    assert store.delete(tokens[0])
    assert store.create({}, subject="alice", max_sessions=2, when_full="refuse")


def test_expired_sessions_are_not_counted(store: crudjt.Store, clock: FakeClock) -> None:
    kept = store.create({}, subject="alice")
    store.create({}, ttl=5, subject="alice")
    clock.advance(5)
    assert store.create({}, subject="alice", max_sessions=2, when_full="refuse")
    assert store.peek(kept) is not None


def test_a_login_ends_the_oldest_of_its_user(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = begin(store, clock, 3)
    visitor = store.create({"cart": [1]})
    login = store.rotate(visitor, subject="alice", data={"cart": [1], "user": 1}, max_sessions=3)
    assert login is not None
    assert alive(store, [*tokens, visitor, login]) == [False, True, True, False, True]


def test_a_rotated_session_is_not_counted_twice(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = begin(store, clock, 2)
    rotated = store.rotate(tokens[0], max_sessions=2, when_full="refuse")
    assert rotated is not None
    assert alive(store, [tokens[1], rotated]) == [True, True]
    again = store.rotate(rotated, subject="alice", max_sessions=1)
    assert again is not None
    assert alive(store, [tokens[1], rotated, again]) == [False, False, True]


def test_a_login_that_is_refused_changes_nothing(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = begin(store, clock, 2)
    visitor = store.create({"n": 1})
    with pytest.raises(crudjt.TooManySessions):
        store.rotate(visitor, subject="alice", data={}, max_sessions=2, when_full="refuse")
    session = store.peek(visitor)
    assert session is not None
    assert (session.data, session.subject) == ({"n": 1}, None)
    assert alive(store, tokens) == [True, True]


def test_a_session_of_nobody_has_no_limit(store: crudjt.Store) -> None:
    visitor = store.create({})
    assert store.rotate(visitor, max_sessions=1) is not None
    assert store.rotate("A" * 22, max_sessions=1) is None
    assert store.rotate("A" * 22, subject="alice", max_sessions=1) is None


def test_sessions_of_older_keys_are_counted(open_store: OpenStore, secret_key: str, clock: FakeClock) -> None:
    tokens = begin(open_store(), clock, 2)
    store = open_store(secret_key=[secret_key, crudjt.generate_secret_key()])
    tokens += begin(store, clock, 1)
    tokens.append(store.create({}, subject="alice", max_sessions=2))
    assert alive(store, tokens) == [False, False, True, True]


@pytest.mark.table
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_sessions": 0, "subject": "a"}, crudjt.InvalidParameter, "max_sessions must be at least 1"),
        ({"max_sessions": "3", "subject": "a"}, crudjt.InvalidType, "max_sessions must be an int, not str"),
        ({"max_sessions": True, "subject": "a"}, crudjt.InvalidType, "max_sessions must be an int, not bool"),
        ({"max_sessions": 1}, crudjt.InvalidParameter, "pass subject= too"),
        ({"max_sessions": 1, "subject": "a", "when_full": "no"}, crudjt.InvalidParameter, "when_full must be"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(
    store: crudjt.Store, arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        store.create({}, **arguments)
    assert store.stats().sessions == 0


@pytest.mark.parametrize("refuse", [False, True])
def test_the_limit_holds_for_logins_at_the_same_time(store: crudjt.Store, refuse: bool) -> None:
    begun: list[str] = []
    refused: list[crudjt.TooManySessions] = []
    ready = threading.Barrier(6)

    def log_in(new: Callable[[], str | None]) -> None:
        ready.wait(PATIENCE)
        for _ in range(5):
            try:
                token = new()
            except crudjt.TooManySessions as error:
                refused.append(error)
            else:
                assert token is not None
                begun.append(token)

    room: Any = {"subject": "alice", "max_sessions": 3, "when_full": "refuse" if refuse else "end_oldest"}
    calls: list[Callable[[], str | None]] = [
        lambda: store.create({}, **room),
        lambda: store.rotate(store.create({}), **room),
    ]
    threads = [threading.Thread(target=log_in, args=(calls[number % 2],)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    living = [token for token in begun if store.peek(token) is not None]
    assert len(living) == len(list(store.sessions("alice"))) == 3
    assert (len(begun), len(refused)) == ((3, 27) if refuse else (30, 0))
