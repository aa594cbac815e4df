"""A namespace for each test, stores that are closed when it ends, and clusters that are whole when it begins."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import crudjt
from tests.support.valkey_servers import Cluster, Servers, SingleServer
from tests.support.valkey_stores import PATIENT, OpenOn, ServerPool, namespace
from tests.support.waiting import PATIENCE

HERE = Path(__file__).parent
USUAL = {("valkey", "blocking"), ("redis", "asyncio")}  # the other combinations run with `-m matrix`


@pytest.hookimpl(tryfirst=True)  # before tests are deselected by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of both drivers over both kinds of servers, in all but two combinations, and those of one kind."""
    for item in items:
        if item.path.parent == HERE and isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            given = item.callspec.params
            engine, driver = given.get("engine", given.get("cluster")), given.get("place", given.get("connect"))
            is_unusual = bool(engine and driver) and (engine, driver) not in USUAL
            if is_unusual or (engine == "redis" and item.get_closest_marker("any_engine")):
                item.add_marker(pytest.mark.matrix)


@pytest.fixture(name="namespace")
def _namespace(path: Path) -> str:
    return namespace(path)


@pytest.fixture
def open_on(namespace: str, secret_key: str) -> Iterator[OpenOn]:
    with ExitStack() as opened:

        def open_one(servers: Servers | str, **options: Any) -> crudjt.Store:
            url = servers if isinstance(servers, str) else servers.url(namespace)
            deadline = time.monotonic() + (PATIENCE if isinstance(servers, Cluster) else 0)
            while True:
                try:
                    return opened.enter_context(crudjt.open(url, **{"secret_key": secret_key, **PATIENT, **options}))
                except crudjt.StoreUnavailable:  # replicas that have just started may be slow to acknowledge
                    if time.monotonic() >= deadline:
                        raise

        yield open_one


@pytest.fixture(scope="session", params=["valkey", "redis"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def server(servers: ServerPool, engine: str) -> SingleServer:
    """A server without a replica, which no test harms."""
    return servers.single(engine)


@pytest.fixture(scope="session")
def _breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("breakable")
    with Cluster(directory / "c", cluster_node_timeout="1000") as cluster:
        yield cluster


@pytest.fixture
def cluster(_breakable: Cluster) -> Iterator[Cluster]:
    """A cluster of three primaries and three replicas, whose nodes a test may kill and pause."""
    yield _breakable
    _breakable.heal()
