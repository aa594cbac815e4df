"""`crudjt.testing.StoreContract`, the suite for authors of backends, over our own and one that delegates."""

from pathlib import Path

import pytest

import crudjt
from crudjt.testing import FakeClock, StoreContract
from tests.support.delegating import DelegatingStore
from tests.support.remote_server import ServedStore
from tests.support.valkey_stores import PATIENT, SINGLE, ServerPool, namespace


class _InADirectory(StoreContract):
    path: Path
    secret_key: str

    @pytest.fixture(autouse=True)
    def _place(self, path: Path, secret_key: str) -> None:
        self.path, self.secret_key = path, secret_key


class TestEmbedded(_InADirectory):
    def open_store(self, clock: FakeClock) -> crudjt.Store:
        return crudjt.open(self.path, secret_key=self.secret_key, clock=clock)


class TestGrpc(_InADirectory):
    def open_store(self, clock: FakeClock) -> crudjt.Store:
        return ServedStore(self.path, secret_key=self.secret_key, clock=clock)


@pytest.mark.slow
class TestValkey(_InADirectory):
    """On a cluster; each test has a namespace of its own."""

    servers: ServerPool

    @pytest.fixture(autouse=True)
    def _servers(self, servers: ServerPool) -> None:
        self.servers = servers

    def open_store(self, clock: FakeClock) -> crudjt.Store:
        url = self.servers.cluster("valkey").url(namespace(self.path))
        return crudjt.open(url, secret_key=self.secret_key, clock=clock, **PATIENT)


@pytest.mark.slow
class TestRedis(TestValkey):
    """On one server."""

    def open_store(self, clock: FakeClock) -> crudjt.Store:
        url = self.servers.single("redis").url(namespace(self.path))
        return crudjt.open(url, secret_key=self.secret_key, clock=clock, **SINGLE)


class TestDelegating(_InADirectory):
    def open_store(self, clock: FakeClock) -> crudjt.Store:
        return DelegatingStore(crudjt.open(self.path, secret_key=self.secret_key, clock=clock))
