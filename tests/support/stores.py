"""Stores of any backend: what opens them, and what most tests ask them."""

import re
from collections.abc import Callable
from typing import Any, Protocol

import crudjt

# Opens the store at a path, and takes what `crudjt.open` takes. Two that are opened on one path see the same sessions.
Backend = Callable[..., crudjt.Store]


TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")


class OpenStore(Protocol):
    """Opens stores that are closed when the test ends."""

    def __call__(self, **options: Any) -> crudjt.Store:
        """Open the store of the test, with its key and clock unless `options` say otherwise."""


def read(store: crudjt.Store, token: str) -> crudjt.Session:
    """Return the session of a token that must be alive."""
    session = store.read(token)
    assert session is not None
    return session


def assert_unknown(store: crudjt.Store, token: str) -> None:
    """Expect every method to answer that there is no such session."""
    assert store.read(token) is None
    assert store.peek(token) is None
    assert store.read_many([token]) == [None]
    assert store.update(token, {"hostile": True}) is False
    assert store.touch(token, ttl=1) is False
    assert store.rotate(token) is None
    assert store.delete(token) is False
    assert store.delete_many([token]) == 0
