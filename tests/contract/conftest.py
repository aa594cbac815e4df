"""The backends that the suite runs over, stores opened on them, and what most of its tests ask."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest

import crudjt
from crudjt.testing import FakeClock
from tests.support.loops import (
    Loop,
    open_driven,
    open_driven_remote,
)
from tests.support.remote_server import (
    BatchedStore,
    ServedStore,
)

# Opens the store at a path, and takes what `crudjt.open` takes. Two that are opened on one path see the same sessions.
Backend = Callable[..., crudjt.Store]

TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")


class OpenStore(Protocol):
    """Opens stores that are closed when the test ends."""

    def __call__(self, **options: Any) -> crudjt.Store:
        """Open the store of the test, with its key and clock unless `options` say otherwise."""


BACKENDS: dict[str, Backend] = {"embedded": crudjt.open, "remote": ServedStore, "batched": BatchedStore}
ASYNC_BACKENDS: dict[str, Backend] = {"async": open_driven, "async_remote": open_driven_remote}


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    with closing(Loop()) as loop:
        yield loop


@pytest.fixture(params=sorted(BACKENDS | ASYNC_BACKENDS))
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param in ASYNC_BACKENDS:
        return partial(ASYNC_BACKENDS[request.param], request.getfixturevalue("loop"))
    return BACKENDS[request.param]


@pytest.fixture
def open_store(backend: Backend, path: Path, secret_key: str, clock: FakeClock) -> Iterator[OpenStore]:
    with ExitStack() as opened:

        def open_one(**options: Any) -> crudjt.Store:
            described = {"path": path, "secret_key": secret_key, "clock": clock, **options}
            return opened.enter_context(backend(described.pop("path"), **described))

        yield open_one


@pytest.fixture
def store(open_store: OpenStore) -> crudjt.Store:
    return open_store()


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
