"""Hosts whose clocks differ: a store on servers takes its time from the servers."""

import time
from multiprocessing.connection import Connection
from typing import Any

import pytest

import crudjt
from tests.support.processes import Worker
from tests.support.stores import read
from tests.support.valkey_servers import SingleServer
from tests.support.valkey_stores import SINGLE, OpenOn

pytestmark = pytest.mark.slow

SKEW = 300  # seconds


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


@pytest.mark.parametrize("seconds", [SKEW, -SKEW])
def test_a_lifetime_is_the_same_on_hosts_whose_clocks_differ(
    server: SingleServer, open_on: OpenOn, namespace: str, secret_key: str, seconds: float
) -> None:
    store = open_on(server, **SINGLE)
    mine = store.create({}, ttl=60)
    with Worker(_use_with_another_clock, server.url(namespace), secret_key, seconds) as other:
        other.receive()
        theirs = other.ask("")
        assert 50 < (read(store, theirs).expires_in or 0) <= 60
        assert 50 < other.ask(mine) <= 60
