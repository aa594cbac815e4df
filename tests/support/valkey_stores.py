"""Stores on Valkey and Redis servers: servers that start at their first use, and a namespace for each path."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import crudjt
import crudjt.aio
from tests.support.loops import DrivenStore, Loop
from tests.support.stores import Backend
from tests.support.valkey_servers import Cluster, Servers, SingleServer
from tests.support.waiting import PATIENCE

REPLICATED: dict[str, Any] = {"durability": "replicated"}
PATIENT: dict[str, Any] = {"timeout": PATIENCE}  # options; the usual second may pass on a busy machine
SINGLE: dict[str, Any] = {**PATIENT, "replicas": 0}  # of a store on one server: it has no replica to wait for
_OF_DIRECTORIES = {"sync_interval"}  # options that only keep the background threads of an embedded store quiet


class OpenOn(Protocol):
    """Opens stores on servers, in the namespace of the test."""

    def __call__(self, servers: Servers | str, **options: Any) -> crudjt.Store: ...


class ServerPool:
    """The servers that the tests of one process share. Each starts at its first use, and they end with a block."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: dict[tuple[str, str], Servers] = {}

    def cluster(self, engine: str) -> Cluster:
        """Return a cluster of three primaries with a replica each."""
        found = self._get("cluster", engine, Cluster)
        assert isinstance(found, Cluster)
        return found

    def single(self, engine: str) -> SingleServer:
        """Return a server without a cluster."""
        found = self._get("single", engine, SingleServer)
        assert isinstance(found, SingleServer)
        return found

    def _get(self, kind: str, engine: str, start: Callable[[Path, str], Servers]) -> Servers:
        if (kind, engine) not in self._started:
            self._started[kind, engine] = start(self._directory / f"{kind}-{engine}", engine)
        return self._started[kind, engine]

    def close(self) -> None:
        for each in self._started.values():
            each.close()


def namespace(path: Path) -> str:
    """Return the namespace that a path names."""
    return "t" + hashlib.sha256(bytes(path)).hexdigest()[:16]


def backend_on(pool: ServerPool, kind: str, engine: str, loop: Loop | None = None) -> Backend:
    """Return what opens the store at a path on a ``cluster`` or a ``single`` server; through asyncio, with a loop."""

    def open_at(path: Path, **options: Any) -> crudjt.Store:
        servers: Servers = pool.cluster(engine) if kind == "cluster" else pool.single(engine)
        defaults = PATIENT if kind == "cluster" else SINGLE
        taken = {name: value for name, value in options.items() if name not in _OF_DIRECTORIES}
        url = servers.url(namespace(path))
        if loop is None:
            return crudjt.open(url, **{**defaults, **taken})
        return DrivenStore(crudjt.aio.open(url, **{**defaults, **taken}), loop)

    return open_at
