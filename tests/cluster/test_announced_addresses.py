"""Addresses that the nodes of a cluster announce: none, names, unknown ones, and those of other hosts."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from crudjt._backends.valkey.connections import Connections
from crudjt._backends.valkey.location import servers as parse
from crudjt._backends.valkey.requests import Ask, Reply, Steps
from crudjt._backends.valkey.topology import Topology
from crudjt.errors import StoreInaccessible, StoreUnavailable
from tests.support.processes import PATIENCE, eventually
from tests.support.valkey_servers import ENGINES, SLOTS, Node

pytestmark = pytest.mark.slow

Start = Callable[..., Node]


@pytest.fixture(params=ENGINES)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start a cluster of one node, which knows no address of its own."""
    with ExitStack() as stack:

        def one(**settings: Any) -> Node:
            node = Node(tmp_path / "node", request.param, cluster_enabled="yes", **settings)
            stack.callback(node.kill)
            node.ask("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
            assert eventually(lambda: node.info("CLUSTER", "INFO")["cluster_state"] == "ok", PATIENCE)
            return node

        yield one


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
def test_node_without_an_address_is_the_one_that_was_asked(start: Start, host: str) -> None:
    node = start()
    assert read(node, host).primaries == ((host, node.port),)


def test_names_are_used(start: Start) -> None:
    node = start(cluster_announce_hostname="localhost", cluster_preferred_endpoint_type="hostname")
    assert read(node).primaries == (("localhost", node.port),)


def test_node_whose_endpoint_is_unknown_is_the_one_that_was_asked(start: Start) -> None:
    node = start(cluster_preferred_endpoint_type="unknown-endpoint")
    assert read(node).primaries == (("127.0.0.1", node.port),)


def test_node_that_should_have_a_name_and_has_none_is_left_out(start: Start) -> None:
    node = start(cluster_preferred_endpoint_type="hostname")
    with pytest.raises(StoreUnavailable, match="no known node has the slot"):
        read(node)


def test_ipv6(start: Start) -> None:
    node = start(bind="127.0.0.1 ::1", cluster_announce_ip="::1")
    assert read(node, "[::1]").primaries == (("::1", node.port),)


def test_node_on_another_host_is_not_reached_in_plaintext(start: Start) -> None:
    node = start(cluster_announce_ip="192.0.2.1")
    with pytest.raises(StoreInaccessible, match=r"192\.0\.2\.1:.* in plaintext"):
        read(node)
