"""Hosts whose clocks differ: a store on servers takes its time from the servers."""

import logging
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest

import crudjt
from tests.support.lossy_proxy import LossyProxy
from tests.support.processes import PATIENCE, Worker, eventually
from tests.support.stores import read
from tests.support.valkey_servers import Cluster, SingleServer
from tests.support.valkey_stores import SINGLE, OpenOn

pytestmark = pytest.mark.slow

SKEW = 300  # seconds


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, LossyProxy]]:
    """Three primaries without replicas, one of which clients reach through a proxy."""
    with (
        Cluster(tmp_path_factory.mktemp("clocks") / "c", replicas=0) as cluster,
        LossyProxy(cluster.nodes[0].port) as proxy,
    ):
        cluster.nodes[0].ask("CONFIG", "SET", "cluster-announce-port", proxy.port)
        known = f":{proxy.port}@"
        assert eventually(lambda: all(known in str(node.ask("CLUSTER", "NODES")) for node in cluster.nodes), PATIENCE)
        yield cluster, proxy


def test_a_primary_whose_clock_is_far_off_is_refused(bare: tuple[Cluster, LossyProxy], open_on: OpenOn) -> None:
    cluster, proxy = bare
    proxy.skew = 90
    with pytest.raises(crudjt.StoreInaccessible, match="clock"):
        open_on(cluster, **SINGLE).create_many([{}])


def test_a_primary_whose_clock_is_a_little_off_is_warned_of_and_has_no_effect(
    bare: tuple[Cluster, LossyProxy], open_on: OpenOn, caplog: pytest.LogCaptureFixture
) -> None:
    """The time is the median over the primaries, so that lifetimes are right on every one of them."""
    cluster, proxy = bare
    proxy.skew = 5
    with caplog.at_level(logging.WARNING, "crudjt"):
        store = open_on(cluster, **SINGLE)
        began = time.monotonic()
        tokens = [store.create({}, ttl=60) for _ in range(20)]
    assert "clock" in caplog.text
    left = [read(store, token).expires_in or 0 for token in tokens]
    passed = time.monotonic() - began
    assert all(58 - passed < each < 61 for each in left)  # known to half a trip


def _use_with_another_clock(pipe: Connection, url: str, secret_key: str, seconds: float) -> None:
    """Set the wall clock of this process to another time, and do what the test says with a store."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 10**9)
    with crudjt.open(url, secret_key=secret_key, **SINGLE) as store:
        pipe.send(None)
        while (token := pipe.recv()) is not None:
            answer: Any
            if token:
                session = store.read(token)
                answer = session and session.expires_in
            else:
                answer = store.create({}, ttl=60)
            pipe.send(answer)


@pytest.mark.any_engine
@pytest.mark.parametrize("seconds", [SKEW, -SKEW])
def test_a_lifetime_is_the_same_on_hosts_whose_clocks_differ(
    server: SingleServer, open_on: OpenOn, namespace: str, secret_key: str, seconds: float
) -> None:
    store = open_on(server, **SINGLE)
    began = time.monotonic()
    mine = store.create({}, ttl=60)
    with Worker(_use_with_another_clock, server.url(namespace), secret_key, seconds) as other:
        other.receive()
        theirs = other.ask("")
        left = [read(store, theirs).expires_in or 0, other.ask(mine)]
        passed = time.monotonic() - began
        assert all(58 - passed < each < 61 for each in left)  # the servers' clock is known to half a trip
