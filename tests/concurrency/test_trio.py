"""An `AsyncStore` in a task of trio: each call, cancellation, and both loops with one store."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

import crudjt
import crudjt.aio
from crudjt._core.event_loops import finish
from crudjt.aio import AsyncStore
from crudjt.testing import FakeClock
from tests.support.delegating import open_delegating
from tests.support.remote_server import ServedStore

MANY = 60  # more than is done inline
PATIENCE = 30.0

OPENERS: dict[str, Callable[..., AsyncStore]] = {
    "inline": lambda path, **options: crudjt.aio.open(path, writes="inline", **options),
    "auto": crudjt.aio.open,
    "thread": lambda path, **options: crudjt.aio.open(path, writes="thread", **options),
    "full": lambda path, **options: crudjt.aio.open(path, durability="full", **options),
    "remote": lambda path, **options: crudjt.aio.wrap(ServedStore(path, **options)),
    "any": lambda path, **options: crudjt.aio.wrap(open_delegating(path, **options)),
}


@pytest.mark.parametrize("how", OPENERS)
def test_each_call_works(how: str, tmp_path: Path, secret_key: str) -> None:
    async def call_each() -> None:
        async with OPENERS[how](tmp_path / "store", secret_key=secret_key) as store:
            token = await store.create({"n": 1}, ttl=60, idle=30, subject="ada")
            read, peeked = await store.read(token), await store.peek(token)
            assert read is not None
            assert peeked is not None
            assert read.data == peeked.data == {"n": 1}
            assert await store.update(token, {"n": 2})
            assert await store.touch(token, ttl=90)
            rotated = await store.rotate(token)
            assert rotated is not None
            assert [each.data for each in [session async for session in store.sessions("ada")]] == [{"n": 2}]
            assert await store.revoke_id(peeked.id) is False  # the handle of the token that was rotated
            assert await store.delete(rotated)
            tokens = await store.create_many([{}] * MANY, subject="bob")
            assert len(await store.read_many(tokens)) == MANY
            assert await store.delete_many(tokens[1:]) == MANY - 1
            assert await store.revoke("bob") == 1
            assert (await store.stats()).sessions == 0
            assert await store.sweep() == 0
            await store.sync()
            await store.backup(tmp_path / "copy")
        with pytest.raises(crudjt.StoreClosed):
            await store.create({})

    trio.run(call_each)
    assert (tmp_path / "copy").exists()


def test_one_store_serves_trio_and_asyncio(path: Path, secret_key: str) -> None:
    store = crudjt.aio.open(path, secret_key=secret_key)
    token = trio.run(store.create, {"n": 1})
    assert asyncio.run(store.update(token, {"n": 2}))
    session = trio.run(store.read, token)
    assert session is not None
    assert session.data == {"n": 2}
    asyncio.run(store.close())


class Gate:
    """A clock that makes the threads of the store wait until it is opened."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.opened = threading.Event()
        self.reached = threading.Event()

    def __call__(self) -> int:
        if threading.current_thread().name.startswith("crudjt-aio"):
            self.reached.set()
            assert self.opened.wait(PATIENCE)
        return self._clock()


def test_a_call_that_is_cancelled_before_a_thread_began_it_is_not_made_and_one_that_began_is_finished(
    path: Path, secret_key: str, clock: FakeClock
) -> None:
    gate = Gate(clock)

    async def cancel() -> None:
        store = crudjt.aio.open(path, writes="thread", secret_key=secret_key, clock=gate)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.create, {"begun": True})
            await trio.to_thread.run_sync(gate.reached.wait, PATIENCE)
            for _ in range(20):
                nursery.start_soon(store.create, {"begun": False})
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        gate.opened.set()
        assert (await store.stats()).sessions <= 1
        await store.close()

    trio.run(cancel)
    with crudjt.open(path, secret_key=secret_key, clock=clock) as store:
        assert store.stats().sessions == 1


def test_a_loop_that_ends_before_its_thread_is_no_error(
    path: Path, secret_key: str, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(clock)
    store = crudjt.aio.open(path, secret_key=secret_key, clock=gate)

    async def leave() -> None:
        with trio.move_on_after(0.01):
            await store.create({})

    trio.run(leave)
    gate.opened.set()
    trio.run(store.close)
    assert [record for record in caplog.records if record.name.startswith("concurrent")] == []


def test_work_that_is_to_be_finished_is_when_its_caller_is_cancelled(
    path: Path, secret_key: str, clock: FakeClock
) -> None:
    """Though it waits for a thread, and though asyncio cancels twice."""
    gate = Gate(clock)
    store = crudjt.aio.open(path, writes="thread", secret_key=secret_key, clock=gate)

    async def in_trio() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.create, {"n": 0})
            await trio.to_thread.run_sync(gate.reached.wait, PATIENCE)
            nursery.start_soon(finish, store.create({"n": 1}))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            threading.Timer(0.1, gate.opened.set).start()
        assert (await store.stats()).sessions == 2

    async def in_asyncio() -> None:
        gate.reached.clear()
        gate.opened.clear()
        first = asyncio.ensure_future(store.create({"n": 2}))
        await asyncio.to_thread(gate.reached.wait, PATIENCE)
        second = asyncio.ensure_future(finish(store.create({"n": 3})))
        await asyncio.sleep(0.01)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.opened.set()
        await first
        await store.close()

    trio.run(in_trio)
    asyncio.run(in_asyncio())
    with crudjt.open(path, secret_key=secret_key, clock=clock) as reopened:
        assert reopened.stats().sessions == 4


def test_trio_is_imported_by_the_application_alone() -> None:
    code = "import sys, crudjt.aio; sys.exit(bool({'trio', 'anyio', 'sniffio'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
