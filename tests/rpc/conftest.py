"""Servers in this process and in others, and stores that are remote."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt.server import Server
from crudjt.server.services import store as store_service
from crudjt.server.services.method import Method
from tests.support.remote_server import Serve


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
