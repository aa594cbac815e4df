"""Servers of stores, in the test's own process and in others, on a Unix socket."""

import itertools
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, Protocol

import crudjt
from crudjt._backends.grpc.channel import Connection
from crudjt._backends.grpc.coalescing import OPERATIONS, Batching, _Operation
from crudjt._backends.grpc.location import remote
from crudjt._backends.grpc.store import RemoteStore
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.server import Server
from crudjt.server.services import store as store_service
from crudjt.server.services.method import Method
from tests.support.processes import Worker

SERVICES = {store_service.NAME: store_service.METHODS}

_numbers = itertools.count()


class ServedStore(RemoteStore):
    """A remote store that brings its server, and takes it along when it is closed."""

    def __init__(self, path: Path, **options: Any) -> None:
        self._store = crudjt.open(path, **options)
        socket = f"{path}.{next(_numbers)}"
        self._server = Server(self._store, [f"unix:{socket}"], services=SERVICES)
        self._server.start()
        super().__init__(self.connection_to(f"unix://{socket}"))

    def connection_to(self, location: str) -> Connection:
        return Connection(remote(location, timeout=100))

    def close(self) -> None:
        """Disconnect, and stop the server at once."""
        super().close()
        self._server.stop(0)
        self._store.close()


class BatchedStore(ServedStore):
    """One whose operations all go out as if other threads had asked for something at the same time."""

    def connection_to(self, location: str) -> Connection:
        return _BatchedConnection(remote(location, timeout=100))


class _BatchedConnection(Connection):
    def _connect(self) -> None:
        super()._connect()
        self._batching = dict.fromkeys(OPERATIONS, _InCompany(self._call))


class _InCompany(Batching):
    def ask(self, name: str, request: Any, timeout: float) -> Any:
        other = _Operation("Peek", pb.PeekRequest(token="A" * 22))
        outcome, *of_other = self._outcomes([_Operation(name, request), other], timeout)
        assert of_other in ([pb.PeekResponse()], [])  # none where the first took long
        return outcome


Change = Callable[[dict[str, Method]], dict[str, Method]]


class Serve(Protocol):
    """Serves the store of the test until it ends, and returns the location to open."""

    def __call__(self, methods: dict[str, Method] = ..., listen: str | None = ..., **options: Any) -> str: ...


class ServerProcess(Worker):
    """Another process that serves a store on a socket. `change` changes its methods first."""

    def __init__(self, path: Path, secret_key: str, socket: Path, change: Change = dict) -> None:
        super().__init__(_serve_store, path, secret_key, socket, change)
        self.receive()


def _serve_store(pipe: Pipe, path: Path, secret_key: str, socket: Path, change: Change) -> None:
    services = {store_service.NAME: change(store_service.METHODS)}
    with crudjt.open(path, secret_key=secret_key) as store:
        server = Server(store, [f"unix:{socket}"], services=services)
        server.start()
        pipe.send("serving")
        pipe.recv()
