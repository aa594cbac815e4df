"""No client connects through a proxy that the environment names: it would see the access token."""

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest

import crudjt
import crudjt.aio
from crudjt import CRUDJT
from crudjt.server import Server
from tests.support.processes import PATIENCE


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A proxy of the environment that answers no connection."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("grpc_proxy", "https_proxy", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("no_grpc_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield proxy


def _remote(address: str) -> None:
    with crudjt.open(f"grpc://{address}", timeout=PATIENCE) as store:
        assert store.peek("A" * 22) is None


def _asynchronous(address: str) -> None:
    async def peek() -> crudjt.Session | None:
        async with crudjt.aio.open(f"grpc://{address}", timeout=PATIENCE) as store:
            return await store.peek("A" * 22)

    assert asyncio.run(peek()) is None


def _original(address: str) -> None:
    host, _, port = address.rpartition(":")
    CRUDJT.Config.connect_to_master(grpc_host=host, grpc_port=int(port))
    try:
        assert CRUDJT.read("A" * 22) is None
    finally:
        CRUDJT.Config.shutdown_server()


@pytest.mark.parametrize("ask", [_remote, _asynchronous, _original])
def test_a_client_asks_the_server_itself(store: crudjt.Store, proxy: socket.socket, ask: Callable[[str], None]) -> None:
    server = Server(store, ["127.0.0.1:0"])
    server.start()
    try:
        ask(server.addresses[0])
    finally:
        server.stop(0)
    proxy.setblocking(False)
    with pytest.raises(BlockingIOError):
        proxy.accept()
