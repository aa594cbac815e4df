"""Servers that would lose sessions are refused, at open and after a failover; a full memory stops no ending."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import crudjt
from tests.cluster.test_failover import create_on
from tests.support.cluster_contents import contents
from tests.support.processes import eventually
from tests.support.valkey_servers import FAILOVER, Cluster, SingleServer
from tests.support.valkey_stores import SINGLE, OpenOn

pytestmark = pytest.mark.slow


@pytest.fixture
def own_server(tmp_path: Path, engine: str) -> Iterator[SingleServer]:
    """A server that only this test uses."""
    with SingleServer(tmp_path / "server", engine) as server:
        yield server


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy"),
        ("maxmemory-policy", "volatile-ttl", "maxmemory-policy"),
        ("appendonly", "no", "appendonly"),
    ],
)
def test_a_server_that_would_lose_sessions_is_refused(
    own_server: SingleServer, open_on: OpenOn, setting: str, value: str, named: str
) -> None:
    own_server.node.ask("CONFIG", "SET", setting, value)
    with pytest.raises(crudjt.StoreInaccessible, match=named) as caught:
        open_on(own_server, **SINGLE).create({})
    assert str(own_server.node.port) in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value", "name"), [("maxmemory-policy", "allkeys-lru", "noeviction"), ("appendonly", "no", "aof")]
)
def test_a_check_can_be_waived_by_name(
    own_server: SingleServer, open_on: OpenOn, setting: str, value: str, name: str
) -> None:
    own_server.node.ask("CONFIG", "SET", setting, value)
    store = open_on(own_server, assume=[name], **SINGLE)
    assert store.read(store.create({})) is not None


def test_a_server_without_a_replica_is_refused_unless_that_is_said(own_server: SingleServer, open_on: OpenOn) -> None:
    with pytest.raises(crudjt.StoreInaccessible, match="replicas=0"):
        open_on(own_server).create({})
    assert open_on(own_server, replicas=0).create({})


def test_a_single_server_is_no_cluster(own_server: SingleServer, open_on: OpenOn, namespace: str) -> None:
    url = own_server.url(namespace).replace("valkey://", "valkey+cluster://")
    with pytest.raises(crudjt.StoreInaccessible, match="cluster"):
        open_on(url, **SINGLE).create({})


def test_a_node_with_a_wrong_policy_is_refused_when_it_takes_over(cluster: Cluster, open_on: OpenOn) -> None:
    primary = cluster.primaries()[0]
    [replica] = cluster.replicas(primary)
    store = open_on(cluster, timeout=1.0)
    token = create_on(store, cluster, primary)
    replica.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        primary.kill()
        cluster.wait_for_failover(primary)
        errors: list[crudjt.StoreError] = []

        def refused() -> bool:
            try:
                store.read(token)
            except crudjt.StoreError as error:
                errors.append(error)
            return bool(errors) and isinstance(errors[-1], crudjt.StoreInaccessible)

        assert eventually(refused, FAILOVER), errors
        assert "maxmemory-policy" in str(errors[-1])
    finally:
        replica.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_a_full_memory_refuses_new_data_and_stops_no_ending(
    own_server: SingleServer, open_on: OpenOn, namespace: str
) -> None:
    store = open_on(own_server, **SINGLE)
    filler = {"x": bytes(10_000)}
    tokens = [store.create(filler, subject=f"user {number % 5}") for number in range(50)]
    used = int(own_server.node.info("memory")["used_memory"])
    own_server.node.ask("CONFIG", "SET", "maxmemory", used + 200_000)
    with pytest.raises(crudjt.StoreFull):
        tokens.extend(store.create(filler, subject="user 1") for _ in range(1000))
    own_server.node.ask("CONFIG", "SET", "maxmemory", used)
    before = contents(own_server, namespace)
    with pytest.raises(crudjt.StoreFull):
        store.create(filler, subject="user 1")
    with pytest.raises(crudjt.StoreFull):
        store.update(tokens[0], {"x": bytes(10_001)})
    assert contents(own_server, namespace) == before
    assert store.read(tokens[0]) is not None
    new = store.rotate(tokens[0])
    assert new is not None
    assert store.delete(tokens[1])
    assert store.revoke("user 2") == 10
    assert store.revoke_id(next(iter(store.sessions("user 3"))).id)
    assert store.delete_many(tokens[-3:]) == 3
    own_server.node.ask("CONFIG", "SET", "maxmemory", used + 500_000)
    assert store.create({"small": True}) is not None
    assert contents(own_server, namespace).differences() == []
