"""A server in the test's own process, on a Unix socket."""

import itertools
from pathlib import Path
from typing import Any

import crudjt
from crudjt.connection import Connection
from crudjt.locations import remote
from crudjt.remote import RemoteStore
from crudjt.server import store_service
from crudjt.server.serving import Server

SERVICES = {store_service.NAME: store_service.METHODS}

_numbers = itertools.count()


class ServedStore(RemoteStore):
    """A remote store that brings its server, and takes it along when it is closed."""

    def __init__(self, path: Path, **options: Any) -> None:
        self._store = crudjt.open(path, **options)
        socket = f"{path}.{next(_numbers)}"
        self._server = Server(self._store, [f"unix:{socket}"], services=SERVICES)
        self._server.start()
        super().__init__(Connection(remote(f"unix://{socket}", timeout=100)))

    def close(self) -> None:
        """Disconnect, and stop the server at once."""
        super().close()
        self._server.stop(0)
        self._store.close()
