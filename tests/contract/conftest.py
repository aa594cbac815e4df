"""The backends that the suite runs over, stores opened on them, and what most of its tests ask."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt.testing import FakeClock
from tests.support.delegating import open_delegating
from tests.support.loops import Loop, open_driven, open_driven_any, open_driven_remote
from tests.support.remote_server import BatchedStore, ServedStore
from tests.support.stores import Backend, OpenStore
from tests.support.valkey_stores import ServerPool, backend_on

BACKENDS: dict[str, Backend] = {
    "embedded": crudjt.open,
    "remote": ServedStore,
    "batched": BatchedStore,
    "any": open_delegating,
}
ASYNC_BACKENDS: dict[str, Backend] = {
    "async": open_driven,
    "async_remote": open_driven_remote,
    "async_any": open_driven_any,
}
# On servers: the kind of the deployment, the engine, and whether the calls are awaited.
ON_SERVERS: dict[str, tuple[str, str, bool]] = {
    "valkey": ("cluster", "valkey", False),
    "async_redis": ("cluster", "redis", True),
    "async_valkey": ("cluster", "valkey", True),
    "redis": ("cluster", "redis", False),
    "valkey_single": ("single", "valkey", False),
    "async_redis_single": ("single", "redis", True),
}
USUAL_SERVERS = {"valkey", "async_redis"}  # both engines and both drivers; the other combinations are marked `matrix`


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    with closing(Loop()) as loop:
        yield loop


# The fast run has one backend in this process and one behind a server.
FAST = {"embedded", "remote"}
# Tables of arguments: how a store checks and packs them is one code, but for what goes through a server.
TABLE, FAST_TABLE = {"embedded", "remote"}, {"embedded"}
# So many sessions that it takes seconds: one in this process, one behind a server, and one on servers.
LARGE = {"embedded", "remote", "valkey"}
EVERY = BACKENDS.keys() | ASYNC_BACKENDS.keys() | ON_SERVERS.keys()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test over every backend that has what it looks at, and a table of arguments over some."""
    if "backend" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker
        names, fast = (TABLE, FAST_TABLE) if marker("table") else (EVERY, FAST)
        if marker("large"):
            names = LARGE
        if marker("log") or marker("any_key"):
            names = names - ON_SERVERS.keys()
        marked = [pytest.param(name, marks=_marks(name, fast)) for name in sorted(names)]
        metafunc.parametrize("backend", marked, indirect=True)


def _marks(name: str, fast: set[str]) -> list[pytest.MarkDecorator]:
    if name in ON_SERVERS.keys() - USUAL_SERVERS:
        return [pytest.mark.slow, pytest.mark.matrix]
    return [] if name in fast else [pytest.mark.slow]


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    name: str = request.param
    if name in ON_SERVERS:
        kind, engine, is_async = ON_SERVERS[name]
        servers: ServerPool = request.getfixturevalue("servers")
        return backend_on(servers, kind, engine, request.getfixturevalue("loop") if is_async else None)
    if name in ASYNC_BACKENDS:
        return partial(ASYNC_BACKENDS[name], request.getfixturevalue("loop"))
    return BACKENDS[name]


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
