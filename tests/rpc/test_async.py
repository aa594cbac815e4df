"""`AsyncStore` over a server: connections, servers that stall or are not there, and what closing does."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import crudjt
import crudjt.aio
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.aio import AsyncStore
from crudjt.server.services import store as store_service
from tests.support.remote_server import Serve

TOKEN = "A" * 22
PATIENCE = 30.0


def test_a_server_is_a_location_like_a_directory(serve: Serve) -> None:
    async def use() -> Any:
        async with crudjt.aio.open(serve(), timeout=PATIENCE) as store:
            token = await store.create({"a": 1}, subject="x")
            assert [session.data async for session in store.sessions("x")] == [{"a": 1}]
            session = await store.read(token)
            return session and session.data

    assert asyncio.run(use()) == {"a": 1}


def test_a_store_on_a_server_that_is_open_already_is_called_asynchronously(serve: Serve) -> None:
    with crudjt.open(serve(), timeout=PATIENCE) as store:
        token = store.create({"a": 1})
        wrapped = crudjt.aio.wrap(store)

        async def read_and_close() -> Any:
            session = await wrapped.read(token)
            await wrapped.close()
            return session and session.data

        assert asyncio.run(read_and_close()) == {"a": 1}
        with pytest.raises(crudjt.StoreClosed):
            store.read(token)


def test_each_loop_has_a_connection_of_its_own(serve: Serve) -> None:
    store = crudjt.aio.open(serve(), timeout=PATIENCE)
    token = asyncio.run(store.create({"a": 1}))
    for _ in range(3):
        assert asyncio.run(store.peek(token)) is not None
    asyncio.run(store.close())
    with pytest.raises(crudjt.StoreClosed):
        asyncio.run(store.read(token))


def test_where_nobody_serves_the_store_is_unavailable_and_says_where(tmp_path: Path) -> None:
    location = f"unix://{tmp_path}/nobody"

    async def ask() -> None:
        async with crudjt.aio.open(location) as store:
            for call in (store.read(TOKEN), store.create_many([{}]), anext(store.sessions("x"))):
                with pytest.raises(crudjt.StoreUnavailable) as caught:
                    await call
                assert caught.value.location == location

    asyncio.run(ask())


def test_an_error_of_the_server_arrives_as_it_was_raised(serve: Serve) -> None:
    async def conflict() -> None:
        async with crudjt.aio.open(serve(), timeout=PATIENCE) as store:
            token = await store.create({})
            with pytest.raises(crudjt.VersionConflict) as caught:
                await store.update(token, {}, if_version=7)
            assert (caught.value.expected, caught.value.actual) == (7, 1)

    asyncio.run(conflict())


class Stalling:
    """A server on which reads do not come back before the block ends."""

    def __init__(self, serve: Serve) -> None:
        self._go_on = threading.Event()
        self.reached = threading.Event()
        self.location = serve(
            {**store_service.METHODS, "Read": store_service.METHODS["Read"]._replace(call=self._stall)}
        )

    def _stall(self, _store: crudjt.Store, _request: Any) -> Any:
        self.reached.set()
        self._go_on.wait(PATIENCE)
        return pb.ReadResponse()

    def __enter__(self) -> "Stalling":
        return self

    def __exit__(self, *_: object) -> None:
        self._go_on.set()


async def stalled(server: Stalling, store: AsyncStore) -> "asyncio.Future[Any]":
    """Return a read that the server has begun and does not end."""
    reading = asyncio.ensure_future(store.read(TOKEN))
    assert await asyncio.to_thread(server.reached.wait, PATIENCE)
    return reading


def test_a_call_that_takes_too_long_is_given_up(serve: Serve) -> None:
    async def read(location: str) -> None:
        async with crudjt.aio.open(location, timeout=0.2) as store:
            with pytest.raises(crudjt.StoreUnavailable, match="in time"):
                await store.read(TOKEN)

    with Stalling(serve) as server:
        asyncio.run(read(server.location))


def test_closing_while_a_task_waits_raises_store_closed_there(serve: Serve) -> None:
    async def close_meanwhile(server: Stalling) -> None:
        store = crudjt.aio.open(server.location, timeout=PATIENCE)
        reading = await stalled(server, store)
        await store.close()
        with pytest.raises(crudjt.StoreClosed):
            await reading

    with Stalling(serve) as server:
        asyncio.run(close_meanwhile(server))


def test_a_slow_server_does_not_hold_the_loop_and_a_cancelled_call_leaves_the_others(serve: Serve) -> None:
    async def go_on(server: Stalling) -> None:
        async with crudjt.aio.open(server.location, timeout=PATIENCE) as store:
            reading = await stalled(server, store)
            token = await store.create({"a": 1})
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert await store.peek(token) is not None

    with Stalling(serve) as server:
        asyncio.run(go_on(server))
