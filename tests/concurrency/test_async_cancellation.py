"""A call that is cancelled has been carried out whole or not at all, and leaves nothing open behind it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import crudjt
import crudjt.aio
from crudjt.aio import AsyncStore
from tests.support.loops import Loop
from tests.support.remote_server import ServedStore

MANY = 60  # more than is done inline
PATIENCE = 30.0

OPENERS: dict[str, Callable[..., AsyncStore]] = {
    "inline": lambda path, **options: crudjt.aio.open(path, writes="inline", **options),
    "auto": crudjt.aio.open,
    "thread": lambda path, **options: crudjt.aio.open(path, writes="thread", **options),
    "full": lambda path, **options: crudjt.aio.open(path, durability="full", **options),
    "remote": lambda path, **options: crudjt.aio.wrap(ServedStore(path, **options)),
}


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with closing(Loop()) as loop:
        yield loop


class CancelledAt:
    """Awaits a coroutine, and lets its task be cancelled at the await of a number, from 0."""

    def __init__(self, coroutine: Any, number: int) -> None:
        self._coroutine = coroutine
        self._number = number

    def __await__(self) -> Any:
        task = asyncio.current_task()
        assert task is not None
        waiting = self._coroutine.__await__()
        for number in count():
            try:
                future = next(waiting) if number <= self._number else waiting.throw(asyncio.CancelledError)
            except StopIteration as done:
                return done.value
            if number == self._number:
                asyncio.get_running_loop().call_soon(task.cancel)
            yield future
        return None


async def _consume(sessions: Any) -> list[Any]:
    return [session async for session in sessions]


Call = Callable[[AsyncStore, list[str], Path], Any]

CALLS: dict[str, Call] = {
    "create": lambda store, _tokens, _path: store.create({"n": 1}, subject="new"),
    "create_many": lambda store, _tokens, _path: store.create_many([{"n": 1}] * MANY, subject="new"),
    "read": lambda store, tokens, _path: store.read(tokens[0]),
    "read_many": lambda store, tokens, _path: store.read_many(tokens),
    "update": lambda store, tokens, _path: store.update(tokens[0], {"n": 2}),
    "touch": lambda store, tokens, _path: store.touch(tokens[0], ttl=50),
    "rotate": lambda store, tokens, _path: store.rotate(tokens[0]),
    "delete": lambda store, tokens, _path: store.delete(tokens[0]),
    "delete_many": lambda store, tokens, _path: store.delete_many(tokens),
    "revoke": lambda store, _tokens, _path: store.revoke("old"),
    "sessions": lambda store, _tokens, _path: _consume(store.sessions("old")),
    "sync": lambda store, _tokens, _path: store.sync(),
    "sweep": lambda store, _tokens, _path: store.sweep(),
    "stats": lambda store, _tokens, _path: store.stats(),
    "backup": lambda store, _tokens, path: store.backup(path),
}


AT_ONCE = {"create", "read", "update", "touch", "rotate", "delete"}


def state(store: crudjt.Store) -> tuple[Any, ...]:
    """Return how many sessions there are of either subject, and what their versions and reads left add up to."""
    old, new = list(store.sessions("old")), list(store.sessions("new"))
    return len(old), len(new), sum(session.version + (session.reads_left or 0) for session in old)


def whole_states() -> dict[str, set[tuple[Any, ...]]]:
    """Return the states in which a call leaves a store, done or not done."""
    before = (MANY, 0, 6 * MANY)
    after = {
        "create": (MANY, 1, 6 * MANY),
        "create_many": (MANY, MANY, 6 * MANY),
        "read": (MANY, 0, 6 * MANY - 1),
        "read_many": (MANY, 0, 5 * MANY),
        "update": (MANY, 0, 6 * MANY + 1),
        "delete": (MANY - 1, 0, 6 * (MANY - 1)),
        "delete_many": (0, 0, 0),
        "revoke": (0, 0, 0),
    }
    return {name: {before, after.get(name, before)} for name in CALLS}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("how", OPENERS)
def test_a_call_cancelled_at_any_await_is_done_whole_or_not_at_all(
    loop: Loop, tmp_path: Path, secret_key: str, how: str, name: str
) -> None:
    async def cancelled_at(number: int) -> bool:
        path, copy = tmp_path / f"store {number}", tmp_path / f"copy {number}"
        async with OPENERS[how](path, secret_key=secret_key) as store:
            tokens = await store.create_many([{"n": 0}] * MANY, max_reads=5, subject="old")
            try:
                await asyncio.ensure_future(_awaiting(CancelledAt(CALLS[name](store, tokens, copy), number)))
                came_so_far = False
            except asyncio.CancelledError:
                came_so_far = True
            await asyncio.wait_for(store.create({}), PATIENCE)  # hangs if the write lock is not free
        with crudjt.open(path, secret_key=secret_key) as reopened:
            assert state(reopened) in whole_states()[name]
        if copy.exists():
            with crudjt.open(copy, secret_key=secret_key) as copied:
                assert state(copied) in whole_states()[name]
        return came_so_far

    async def cancelled_everywhere() -> int:
        for number in count():
            if not await cancelled_at(number):
                return number
        raise AssertionError

    never_waits = how != "remote" and (name == "stats" or (how == "inline" and name in AT_ONCE))
    assert (loop.run(cancelled_everywhere()) == 0) is never_waits


async def _awaiting(awaitable: Any) -> Any:
    return await awaitable


class Gate:
    """A clock that can be made to stand in the way: a call that reads it waits until the gate is opened."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._open = threading.Event()
        self._open.set()
        self.reached = threading.Event()

    def __call__(self) -> int:
        if not self._open.is_set() and threading.current_thread().name.startswith("crudjt-aio"):
            self.reached.set()
            assert self._open.wait(PATIENCE)
        return self._clock()

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(clock: Callable[[], int]) -> Iterator[Gate]:
    gate = Gate(clock)
    yield gate
    gate.open()


async def _reached(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.reached.wait, PATIENCE)


def test_what_a_thread_is_at_when_its_call_is_cancelled_is_finished_before_the_store_closes(
    loop: Loop, path: Path, secret_key: str, gate: Gate
) -> None:
    async def cancel_and_close() -> None:
        store = crudjt.aio.open(path, secret_key=secret_key, clock=gate)
        gate.shut()
        creating = asyncio.ensure_future(store.create({}, subject="x"))
        await _reached(gate)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0)
        for call in (store.create({}), store.sync()):
            with pytest.raises(crudjt.StoreClosed):
                await call
        gate.open()
        await closing

    loop.run(cancel_and_close())
    with crudjt.open(path, secret_key=secret_key, clock=gate) as store:
        assert len(list(store.sessions("x"))) == 1


def test_a_call_that_waits_for_a_thread_is_not_begun_once_it_is_cancelled(
    loop: Loop, path: Path, secret_key: str, gate: Gate
) -> None:
    async def cancel_those_that_wait() -> None:
        async with crudjt.aio.open(path, secret_key=secret_key, clock=gate, writes="thread") as store:
            gate.shut()
            calls = [asyncio.ensure_future(store.create({})) for _ in range(100)]
            await _reached(gate)
            for call in calls[50:]:
                call.cancel()
            await asyncio.gather(*calls[50:], return_exceptions=True)
            gate.open()
            await asyncio.gather(*calls[:50])
            assert (await store.stats()).sessions == 50

    loop.run(cancel_those_that_wait())
