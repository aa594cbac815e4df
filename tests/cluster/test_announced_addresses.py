"""Addresses that the nodes of a cluster announce: none, names, unknown ones, and those of other hosts."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crudjt._backends.valkey.aio_connections import AsyncConnections
from crudjt._backends.valkey.connections import Connections
from crudjt._backends.valkey.location import servers as parse
from crudjt._backends.valkey.requests import Ask, Reply, Steps
from crudjt._backends.valkey.topology import Topology
from crudjt.errors import StoreInaccessible, StoreUnavailable
from tests.support.processes import PATIENCE, eventually
from tests.support.valkey_servers import ENGINES, SLOTS, Node

pytestmark = pytest.mark.slow

Announced = Callable[..., Node]

NOTHING = {"announce_hostname": "", "announce_ip": "", "preferred_endpoint_type": "ip"}


@pytest.fixture(scope="module", params=ENGINES)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A cluster of one node, which knows no address of its own."""
    directory = tmp_path_factory.mktemp("announcing")
    node = Node(directory / "node", request.param, cluster_enabled="yes", bind="127.0.0.1 ::1")
    try:
        node.ask("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        assert eventually(lambda: node.info("CLUSTER", "INFO")["cluster_state"] == "ok", PATIENCE)
        yield node
    finally:
        node.kill()


@pytest.fixture
def announced(node: Node) -> Iterator[Announced]:
    """Return the node once it announces what a test says."""

    def announce(**settings: str) -> Node:
        for name, value in {**NOTHING, **settings}.items():
            node.ask("CONFIG", "SET", "cluster-" + name.replace("_", "-"), value)
        return node

    yield announce
    announce()


def get() -> Steps[list[Reply]]:
    return (yield [Ask(b"a", (b"GET", b"a"))])


def read(node: Node, host: str = "127.0.0.1", **options: Any) -> Topology:
    """Ask for a key, and return what was learned on the way."""
    place = parse(f"valkey+cluster://{host}:{node.port}", timeout=1.0, **options)
    topology = Topology(place.nodes, clustered=True)
    driver = Connections(place, topology)
    try:
        assert driver.run(get())[0].value is None
    finally:
        driver.close()
    return topology


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_node_without_an_address_is_the_one_that_was_asked(announced: Announced, host: str) -> None:
    node = announced()
    assert read(node, host).primaries == ((host, node.port),)


def test_names_are_used(announced: Announced) -> None:
    node = announced(announce_hostname="localhost", preferred_endpoint_type="hostname")
    assert read(node).primaries == (("localhost", node.port),)


def test_node_whose_endpoint_is_unknown_is_the_one_that_was_asked(announced: Announced) -> None:
    node = announced(preferred_endpoint_type="unknown-endpoint")
    assert read(node).primaries == (("127.0.0.1", node.port),)


def test_node_that_should_have_a_name_and_has_none_is_left_out(announced: Announced) -> None:
    node = announced(preferred_endpoint_type="hostname")
    with pytest.raises(StoreUnavailable, match="no known node has the slot"):
        read(node)


def test_ipv6(announced: Announced) -> None:
    node = announced(announce_ip="::1")
    assert read(node, "[::1]").primaries == (("::1", node.port),)


async def read_async(node: Node) -> None:
    place = parse(f"valkey+cluster://127.0.0.1:{node.port}", timeout=1.0)
    driver = AsyncConnections(place, Topology(place.nodes, clustered=True))
    try:
        await driver.run(get())
    finally:
        await driver.close()


def test_node_on_another_host_is_not_reached_in_plaintext(announced: Announced) -> None:
    node = announced(announce_ip="192.0.2.1")
    for ask in (read, lambda node: asyncio.run(read_async(node))):
        with pytest.raises(StoreInaccessible, match=r"192\.0\.2\.1:.* in plaintext"):
            ask(node)
