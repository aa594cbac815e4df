"""Many sessions in one transaction."""

from typing import Any

import pytest

import crudjt
from crudjt.testing import FakeClock
from tests.support.stores import TOKEN, read


def test_create_many_returns_tokens_in_order(store: crudjt.Store) -> None:
    tokens = store.create_many([{"n": number} for number in range(50)])
    assert all(TOKEN.fullmatch(token) for token in tokens)
    assert [read(store, token).data["n"] for token in tokens] == list(range(50))


def test_create_many_gives_each_session_the_same_limits(store: crudjt.Store) -> None:
    for session in store.read_many(store.create_many([{}, {}], 60, 5, idle=30, subject="x")):
        assert session is not None
        assert (session.expires_in, session.reads_left, session.subject) == (30, 4, "x")


def test_create_many_takes_any_iterable(store: crudjt.Store) -> None:
    assert len(store.create_many({"n": number} for number in range(3))) == 3


def test_many_of_nothing_is_nothing(store: crudjt.Store) -> None:
    assert store.create_many([]) == []
    assert store.read_many([]) == []
    assert store.delete_many([]) == 0


@pytest.mark.parametrize("bad", [None, "text", {"a": object()}, {"a": bytes(70_000)}])
def test_create_many_makes_all_or_none(store: crudjt.Store, bad: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter):
        store.create_many([{}, {}, bad])
    assert store.stats().sessions == 0


def test_read_many_answers_in_order_with_none_for_what_is_not_there(store: crudjt.Store) -> None:
    tokens = store.create_many([{"n": 0}, {"n": 1}, {"n": 2}])
    store.delete(tokens[1])
    found = store.read_many([tokens[2], "no token", tokens[1], tokens[0]])
    assert [session and session.data["n"] for session in found] == [2, None, None, 0]


def test_read_many_counts_each_read(store: crudjt.Store) -> None:
    """Also those of one token that is named several times."""
    token, other = store.create({}, max_reads=3), store.create({}, max_reads=9)
    found = store.read_many([token, other, token, token, token])
    assert [session and session.reads_left for session in found] == [2, 8, 1, 0, None]
    assert store.read(token) is None
    assert read(store, other).reads_left == 7


def test_read_many_slides_idle_timeouts(store: crudjt.Store, clock: FakeClock) -> None:
    tokens = store.create_many([{}] * 3, idle=10)
    for _ in range(5):
        clock.advance(9)
        for session in store.read_many([*tokens, tokens[0]]):
            assert session is not None
            assert session.expires_in == 10


def test_read_many_hands_out_a_copy_for_each_mention_of_a_token(store: crudjt.Store) -> None:
    token = store.create({"list": []})
    first, second = store.read_many([token, token])
    assert first is not None
    assert second is not None
    first.data["list"].append(1)
    assert second.data == {"list": []}


def test_delete_many_counts_the_sessions_that_were_alive(store: crudjt.Store, clock: FakeClock) -> None:
    expired = store.create({}, ttl=10)
    tokens = store.create_many([{}] * 4)
    store.delete(tokens[3])
    clock.advance(10)
    assert store.delete_many([*tokens, tokens[0], "no token", expired]) == 3
    assert store.read_many(tokens) == [None] * 4
    assert store.delete_many(tokens) == 0


@pytest.mark.parametrize("bad", [None, 5, b"bytes"])
def test_one_bad_token_among_many_changes_nothing(store: crudjt.Store, bad: Any) -> None:
    token = store.create({}, max_reads=3)
    for many in (store.read_many, store.delete_many):
        with pytest.raises(crudjt.InvalidParameter) as caught:
            many([token, bad])
        assert caught.value.parameter == "token"
    assert read(store, token).reads_left == 2
