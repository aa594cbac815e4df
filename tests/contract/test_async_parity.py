"""`AsyncStore` has the face of `Store`."""

import inspect
import subprocess
import sys

import pytest

import crudjt.aio
from crudjt._backends.embedded.async_store import AsyncEmbeddedStore
from crudjt._backends.grpc.async_store import AsyncRemoteStore
from crudjt.aio._threads import ThreadedAsyncStore
from tests.support.interface import PROPERTIES, SIGNATURES, called, public

CLASSES = [AsyncEmbeddedStore, AsyncRemoteStore, ThreadedAsyncStore]


@pytest.mark.parametrize("kind", CLASSES)
def test_no_call_of_store_is_lacking_and_none_is_added(kind: type) -> None:
    lacking = SIGNATURES.keys() - public(kind)
    assert lacking == set()
    assert public(kind) - SIGNATURES.keys() - {"events"} == PROPERTIES


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("name", SIGNATURES)
def test_each_method_is_called_as_that_of_store_and_awaited(kind: type, name: str) -> None:
    method = vars(kind)[name]
    assert called(method) == SIGNATURES[name]
    assert inspect.isasyncgenfunction(method) if name == "sessions" else inspect.iscoroutinefunction(method)


def test_open_takes_what_crudjt_open_takes(tmp_path: object, secret_key: str) -> None:
    """By passing it on: a parameter that is new there is known here."""
    kinds = {name: each.kind for name, each in inspect.signature(crudjt.aio.open).parameters.items()}
    assert kinds["options"] is inspect.Parameter.VAR_KEYWORD
    with pytest.raises(crudjt.InvalidParameter, match="sync_interval"):
        crudjt.aio.open(str(tmp_path), secret_key=secret_key, sync_interval=-1)


def test_the_public_names_are_these() -> None:
    assert set(vars(crudjt.aio)) >= {"AsyncStore", "Writes", "open", "wrap"}
    assert all(inspect.getdoc(each) for each in (crudjt.aio.open, crudjt.aio.wrap, crudjt.aio.AsyncStore))


def test_an_embedded_store_needs_no_grpc() -> None:
    code = "import sys, crudjt.aio; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
