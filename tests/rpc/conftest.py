"""Servers in this process and in others, and stores that are remote."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import pytest

import crudjt
from crudjt.server.server import Server
from crudjt.server.services import store as store_service
from crudjt.server.services.method import Method
from tests.support.processes import Worker

Change = Callable[[dict[str, Method]], dict[str, Method]]


class Serve(Protocol):
    """Serves the store of the test until it ends, and returns the location to open."""

    def __call__(self, methods: dict[str, Method] = ..., listen: str | None = ..., **options: Any) -> str: ...


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CRUDJT_ACCESS_TOKEN", "CRUDJT_ACCESS_TOKEN_FILE", "CRUDJT_SECRET_KEY", "CRUDJT_SECRET_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "socket"


@pytest.fixture
def serve(store: crudjt.Store, socket: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def serve(methods: dict[str, Method] = store_service.METHODS, listen: str | None = None, **options: Any) -> str:
            server = Server(store, [listen or f"unix:{socket}"], services={store_service.NAME: methods}, **options)
            server.start()
            stack.callback(server.stop, 0)
            (address,) = server.addresses
            return f"unix://{socket}" if listen is None else f"grpc://{address}"

        yield serve


@pytest.fixture
def remote(serve: Serve) -> Iterator[crudjt.Store]:
    with crudjt.open(serve(), timeout=100) as remote:
        yield remote


class ServerProcess(Worker):
    """Another process that serves a store on a socket. `change` changes its methods first."""

    def __init__(self, path: Path, secret_key: str, socket: Path, change: Change = dict) -> None:
        super().__init__(_serve_store, path, secret_key, socket, change)
        self.receive()


def _serve_store(pipe: Connection, path: Path, secret_key: str, socket: Path, change: Change) -> None:
    services = {store_service.NAME: change(store_service.METHODS)}
    with crudjt.open(path, secret_key=secret_key) as store:
        server = Server(store, [f"unix:{socket}"], services=services)
        server.start()
        pipe.send("serving")
        pipe.recv()
