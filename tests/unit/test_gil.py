"""Calls for many sessions yield the GIL regularly, so that other threads, such as an event loop, stay responsive."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

import crudjt
from crudjt._core import gil

MANY = 10 * gil.BATCH_ITEMS
CALLS: dict[str, Callable[[crudjt.Store, list[str]], Any]] = {
    "create_many": lambda store, _: store.create_many({"n": number} for number in range(MANY)),
    "read_many": lambda store, tokens: store.read_many(tokens),
    "delete_many": lambda store, tokens: store.delete_many(tokens),
    "revoke": lambda store, _: store.revoke("x"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_for_many_yields_the_gil_once_a_batch_in_each_of_its_parts(
    store: crudjt.Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tokens = store.create_many([{"a": 1}] * MANY, subject="x", max_reads=2)
    me, given = threading.get_ident(), 0

    def give(seconds: float) -> None:
        nonlocal given
        if threading.get_ident() == me:
            given += 1
            assert 0 < seconds < 0.001

    monkeypatch.setattr(gil, "sleep", give)
    CALLS[name](store, tokens)
    # To decide, to reckon the room, to encode the log's entry, to free it all; a revoke makes no list of changes. The
    # last of a part may be missing.
    parts = 1 if name == "revoke" else 3
    assert given > parts * (MANY // gil.BATCH_ITEMS - 1)


def test_a_call_for_few_does_not_pause(store: crudjt.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gil, "sleep", lambda _: pytest.fail("paused"))
    tokens = store.create_many([{"a": 1}] * 20, subject="x")
    store.read_many(tokens)
    store.delete_many(tokens[:10])
    store.revoke("x")
