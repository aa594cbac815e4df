"""Long lists: in parts, and only so much in one call."""

from typing import Any

import pytest

import crudjt
from crudjt._rpc import chunking

MANY = 20_000


@pytest.mark.slow
def test_20_000_sessions_go_through_every_call_that_takes_or_gives_many(remote: crudjt.Store) -> None:
    """Far more than one message holds: 24 MB."""
    tokens = remote.create_many(({"n": n, "x": bytes(1200)} for n in range(MANY)), ttl=60, subject="x")
    assert len(set(tokens)) == MANY
    found = remote.read_many(tokens)
    assert [session and session.data["n"] for session in found] == list(range(MANY))
    assert sorted(session.data["n"] for session in remote.sessions("x")) == list(range(MANY))
    assert remote.delete_many(tokens[: MANY // 2]) == MANY // 2
    assert remote.revoke("x") == MANY - MANY // 2
    assert remote.stats().sessions == 0


def test_data_of_the_largest_size_goes_through(remote: crudjt.Store) -> None:
    """Each part holds at least one, however large."""
    tokens = remote.create_many([{"x": bytes(4000)}] * 600)
    assert [session and len(session.data["x"]) for session in remote.read_many(tokens)] == [4000] * 600


@pytest.mark.parametrize("name", ["create_many", "read_many", "delete_many"])
def test_more_than_one_call_may_hold_is_refused_before_it_is_sent(remote: crudjt.Store, name: str) -> None:
    items: list[Any] = [{}] if name == "create_many" else ["A" * 22]
    log_bytes = remote.stats().log_bytes
    with pytest.raises(crudjt.InvalidParameter) as caught:
        getattr(remote, name)(items * (chunking.MAX_ITEMS + 1))
    assert caught.value.parameter == ("data" if name == "create_many" else "tokens")
    assert str(chunking.MAX_ITEMS) in str(caught.value)
    assert remote.stats().log_bytes == log_bytes


def test_an_endless_list_is_refused(remote: crudjt.Store) -> None:
    """Also where it is bytes that are too many."""

    def endless() -> object:
        while True:
            yield {"x": bytes(100_000)}

    with pytest.raises(crudjt.InvalidParameter):
        remote.create_many(endless())  # type: ignore[arg-type] # what is to be refused


def test_data_that_no_message_can_hold_is_too_large(remote: crudjt.Store) -> None:
    with pytest.raises(crudjt.DataTooLarge) as caught:
        remote.create({"x": bytes(chunking.MAX_MESSAGE_BYTES)})
    assert caught.value.limit == chunking.MAX_REQUEST_DATA_BYTES
    with pytest.raises(crudjt.DataTooLarge) as caught:
        remote.create({"x": bytes(chunking.MAX_REQUEST_DATA_BYTES - 100)})
    assert caught.value.limit == 65_536


def test_parts_are_cut_by_number_and_by_size() -> None:
    assert [len(part) for part in chunking.in_parts([b""] * 2500, len)] == [1000, 1000, 500]
    halves = [bytes(chunking.PART_BYTES // 2 + 1)] * 3
    assert [len(part) for part in chunking.in_parts(halves, len)] == [1, 1, 1]
    assert list(chunking.in_parts([], len)) == []
