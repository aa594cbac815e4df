"""What is done on the loop's own thread, what is not, and what that keeps the loop free of."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import crudjt
import crudjt.aio
from crudjt._backends.embedded.async_store import AsyncEmbeddedStore
from crudjt.aio import AsyncStore
from crudjt.testing import FakeClock
from tests.support.embedded import engine_of
from tests.support.loops import Loop
from tests.support.processes import Fork, StoreProcess, Worker

PATIENCE = 30.0
MANY = 60
LONG = {"revoke", "sweep", "sync", "backup", "sessions"}


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with closing(Loop()) as loop:
        yield loop


class Noting:
    """Stands before a `Store`, and notes which thread carries out what."""

    def __init__(self, store: crudjt.Store) -> None:
        self._store = store
        self.durable = store.durable
        self.in_threads: dict[str, bool] = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def noted(*arguments: Any, **keywords: Any) -> Any:
            result = method(*arguments, **keywords)
            if name == "sessions":
                return self._steps(result)
            self.in_threads[name] = threading.current_thread().name.startswith("crudjt-aio")
            return result

        return noted

    def _steps(self, sessions: Iterator[crudjt.Session]) -> Iterator[crudjt.Session]:
        self.in_threads["sessions"] = threading.current_thread().name.startswith("crudjt-aio")
        yield from sessions


async def every_call(store: AsyncStore, target: Path, items: int) -> None:
    """Make each call once; those for many sessions with so many."""
    token = await store.create({}, subject="x")
    await store.update(token, {"a": 1})
    await store.touch(token, ttl=60)
    rotated = await store.rotate(token)
    assert rotated is not None
    await store.peek(rotated)
    async for session in store.sessions("x"):
        await store.revoke_id(session.id)
    await store.delete(rotated)
    tokens = await store.create_many([{}] * items)
    await store.read_many(tokens)
    await store.delete_many(tokens)
    await store.revoke("x")
    await store.sweep()
    await store.sync()
    await store.backup(target)
    await store.stats()


OF_MANY = {"create_many", "read_many", "delete_many"}
WRITES = {"create", "update", "touch", "rotate", "delete", "revoke_id"} | OF_MANY


@pytest.mark.parametrize(
    ("options", "writes", "items", "expected"),
    [
        ({}, "inline", 2, LONG),
        ({}, "inline", MANY, LONG | OF_MANY),
        ({}, "thread", 2, LONG | WRITES),
        ({"durability": "full"}, "inline", 2, LONG | WRITES),
    ],
    ids=["inline", "inline, many", "thread", "full"],
)
def test_what_may_wait_is_done_in_a_thread_and_nothing_else(
    loop: Loop, path: Path, secret_key: str, options: Any, writes: Any, items: int, expected: set[str]
) -> None:
    with crudjt.open(path, secret_key=secret_key, **options) as store:
        noting: Any = Noting(store)
        loop.run(every_call(AsyncEmbeddedStore(noting, writes=writes), path.with_name("copy"), items))
        assert {name for name, in_thread in noting.in_threads.items() if in_thread} == expected
        assert {name for name, in_thread in noting.in_threads.items() if not in_thread} == (
            {"peek", "stats"} | (LONG | WRITES) - expected
        )


@pytest.mark.parametrize("counted", [True, False])
def test_a_read_goes_to_a_thread_only_where_it_writes(
    loop: Loop, path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch, counted: bool
) -> None:
    in_threads: dict[str, bool] = {}
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"a": 1}, max_reads=2 if counted else None)
        engine = engine_of(store)

        def note(method: Any, *arguments: Any) -> Any:
            in_threads[method.__name__] = threading.current_thread().name.startswith("crudjt-aio")
            return method(*arguments)

        for method in (engine.get_with_id, engine.write):
            monkeypatch.setattr(engine, method.__name__, partial(note, method))
        session = loop.run(crudjt.aio.wrap(store, writes="thread").read(token))
        assert session.data == {"a": 1}
        assert session.reads_left == (1 if counted else None)
        assert in_threads == ({"get_with_id": False, "write": True} if counted else {"get_with_id": False})


@pytest.mark.parametrize("idle", [None, 100])
def test_a_session_that_was_read_is_in_the_cache_and_a_change_by_another_process_is_seen(
    loop: Loop, path: Path, secret_key: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, idle: int | None
) -> None:
    def refuse(_key: bytes) -> bytes:
        raise AssertionError("the view was read")

    async def read(store: AsyncStore, token: str) -> Any:
        session = await store.read(token)
        return session and session.data

    with (
        StoreProcess(path, secret_key, clock=clock) as other,
        crudjt.open(path, secret_key=secret_key, clock=clock) as store,
    ):
        asynchronous = crudjt.aio.wrap(store, writes="thread")
        token = store.create({"n": 1}, idle=idle)
        assert loop.run(read(asynchronous, token)) == {"n": 1}
        with monkeypatch.context() as patch:
            patch.setattr(engine_of(store), "get_with_id", refuse)
            assert loop.run(read(asynchronous, token)) == {"n": 1}
        assert other.call("update", token, {"n": 2})
        assert loop.run(read(asynchronous, token)) == {"n": 2}
        assert other.call("delete", token)
        assert loop.run(read(asynchronous, token)) is None


def test_a_cached_session_ends_for_asynchronous_reads_at_its_deadline(
    loop: Loop, path: Path, secret_key: str, clock: FakeClock
) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock) as store:
        asynchronous = crudjt.aio.wrap(store, writes="thread")
        token = store.create({"n": 1}, ttl=10)
        assert loop.run(asynchronous.read(token)) is not None
        clock.advance(10)
        assert loop.run(asynchronous.read(token)) is None


def test_a_read_that_puts_off_the_idle_timeout_does_so_from_a_thread_too(
    loop: Loop, path: Path, secret_key: str, clock: Any
) -> None:
    with crudjt.open(path, secret_key=secret_key, clock=clock) as store:
        asynchronous = crudjt.aio.wrap(store, writes="thread")
        token = store.create({}, idle=100)
        for _ in range(3):
            clock.advance(60)
            assert loop.run(asynchronous.read(token)) is not None


def _hold_the_write_lock(pipe: Connection, path: Path, secret_key: str) -> None:
    """Begin a write transaction, and end it when told to."""
    with crudjt.open(path, secret_key=secret_key) as store:
        transaction = engine_of(store).begin(None, None, True)
        pipe.send("holding")
        pipe.recv()
        transaction.abort()


def test_the_loop_goes_on_while_a_stopped_process_holds_the_write_lock(loop: Loop, path: Path, secret_key: str) -> None:
    async def write_while_it_is_held(holder: Worker, store: AsyncStore, token: str) -> None:
        writing = asyncio.ensure_future(store.create({}))
        for _ in range(100):
            assert await store.read(token) is not None
            await asyncio.sleep(0)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(store.update(token, {}), 0.05)
        assert not writing.done()
        holder.signal(signal.SIGCONT)
        holder.send("go on")
        assert await asyncio.wait_for(writing, PATIENCE)

    store = crudjt.aio.open(path, secret_key=secret_key)
    token = loop.run(store.create({"a": 1}))
    with Worker(_hold_the_write_lock, path, secret_key) as holder:
        holder.receive()
        holder.signal(signal.SIGSTOP)
        loop.run(write_while_it_is_held(holder, store, token))
        loop.run(store.close())


def test_no_write_is_inline_while_a_large_one_of_this_store_is_under_way(loop: Loop, store: crudjt.Store) -> None:
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        transaction = engine_of(store).begin(None, None, True)
        held.set()
        assert let_go.wait(PATIENCE)
        transaction.abort()

    async def write_while_it_waits(asynchronous: AsyncStore) -> None:
        revoking = asyncio.ensure_future(asynchronous.revoke("x"))
        await asyncio.sleep(0)
        creating = asyncio.ensure_future(asynchronous.create({}))
        counting = asyncio.ensure_future(asynchronous.read(token))
        await asyncio.sleep(0)
        let_go.set()  # which the loop would not come to, if it waited for the lock itself
        assert await revoking == 1
        assert await creating
        assert (await counting) is not None

    store.create({}, subject="x")
    token = store.create({}, max_reads=5)
    asynchronous = crudjt.aio.wrap(store, writes="inline")
    # The revocation stands before the lock, which a thread holds.
    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(PATIENCE)
    try:
        loop.run(write_while_it_waits(asynchronous))
    finally:
        let_go.set()
        holder.join(PATIENCE)


class Meeting:
    """Stands before a `Store`; a call goes on when as many are there at once as were asked for, if any were."""

    def __init__(self, store: crudjt.Store, together: int = 1) -> None:
        self._store = store
        self._together = threading.Barrier(together)
        self.durable = store.durable
        self.threads: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        def met(*arguments: Any, **keywords: Any) -> Any:
            self._together.wait(PATIENCE)
            self.threads.add(threading.get_ident())
            return getattr(self._store, name)(*arguments, **keywords)

        return met


def test_one_thread_makes_the_writes_so_that_they_do_not_fight_for_the_interpreter(
    loop: Loop, store: crudjt.Store
) -> None:
    meeting: Any = Meeting(store)
    asynchronous = AsyncEmbeddedStore(meeting, writes="thread")

    async def write_at_once() -> None:
        await asyncio.gather(*(asynchronous.create({}) for _ in range(MANY)))
        token = store.create({}, max_reads=1)
        await asyncio.gather(asynchronous.delete_many([]), asynchronous.update("none", {}), asynchronous.rotate(token))

    loop.run(write_at_once())
    assert len(meeting.threads) == 1
    assert meeting.threads != {threading.get_ident()}


def test_those_that_wait_for_a_sync_wait_together(loop: Loop, path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key, durability="full") as store:
        meeting: Any = Meeting(store, together=8)
        asynchronous = AsyncEmbeddedStore(meeting, writes="thread")

        async def write_at_once() -> None:
            await asyncio.gather(*(asynchronous.create({}) for _ in range(8)))

        loop.run(write_at_once())


def test_what_only_reads_does_not_stand_behind_a_write_that_waits(loop: Loop, store: crudjt.Store) -> None:
    asynchronous = crudjt.aio.wrap(store)
    store.create({"a": 1}, subject="x")
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        transaction = engine_of(store).begin(None, None, True)
        held.set()
        assert let_go.wait(PATIENCE)
        transaction.abort()

    async def listed() -> list[Any]:
        return [session.data async for session in asynchronous.sessions("x")]

    async def list_while_it_waits() -> None:
        writing = asyncio.ensure_future(asynchronous.create({}))
        await asyncio.sleep(0)
        assert await asyncio.wait_for(listed(), PATIENCE / 2) == [{"a": 1}]
        assert not writing.done()
        let_go.set()
        assert await writing

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(PATIENCE)
    try:
        loop.run(list_while_it_waits())
    finally:
        let_go.set()
        holder.join(PATIENCE)


def test_a_list_of_sessions_that_goes_on_after_the_close_says_so(loop: Loop, path: Path, secret_key: str) -> None:
    """At whatever place it is, the end of what was read ahead among them."""

    async def close_after(number: int) -> None:
        store = crudjt.aio.open(path, secret_key=secret_key)
        sessions = store.sessions("x")
        for _ in range(number):
            await anext(sessions)
        await store.close()
        with pytest.raises(crudjt.StoreClosed):
            await anext(sessions)

    with crudjt.open(path, secret_key=secret_key) as store:
        store.create_many([{}] * 250, subject="x")
    for number in (1, 99, 100, 101, 200):
        loop.run(close_after(number))


def test_a_forked_child_has_threads_of_its_own(path: Path, secret_key: str) -> None:
    store = crudjt.aio.open(path, secret_key=secret_key)
    token = asyncio.run(store.create({"a": 1}))

    def in_child() -> Any:
        async def use() -> Any:
            session = await store.read(await store.rotate(token) or "")
            await store.close()
            return session and session.data

        return asyncio.run(asyncio.wait_for(use(), PATIENCE))

    assert Fork(in_child).wait().result == {"a": 1}
    assert asyncio.run(store.read(token)) is None
    asyncio.run(store.close())


def test_a_store_outlives_the_loop_it_was_first_used_in(path: Path, secret_key: str) -> None:
    store = crudjt.aio.open(path, secret_key=secret_key, durability="full")
    token = asyncio.run(store.create({"a": 1}))
    session = asyncio.run(store.read(token))
    assert session is not None
    assert session.data == {"a": 1}
    asyncio.run(store.close())


def test_closing_twice_does_nothing_and_leaving_the_block_closes(loop: Loop, path: Path, secret_key: str) -> None:
    async def use() -> AsyncStore:
        async with crudjt.aio.open(path, secret_key=secret_key) as store:
            await store.create({})
        await store.close()
        return store

    store = loop.run(use())
    for call in (store.peek("A" * 22), store.create({}), store.revoke("x"), store.stats()):
        with pytest.raises(crudjt.StoreClosed):
            loop.run(call)
    assert "closed" in repr(store)


def test_writes_is_auto_inline_or_thread(store: crudjt.Store) -> None:
    with pytest.raises(crudjt.InvalidParameter, match="writes must be 'auto', 'inline' or 'thread', not"):
        crudjt.aio.wrap(store, writes="process")  # type: ignore[arg-type] # what is tested


def test_a_store_is_wrapped_once(store: crudjt.Store) -> None:
    wrapped = crudjt.aio.wrap(store)
    assert crudjt.aio.wrap(wrapped) is wrapped


def test_an_iterable_is_consumed_on_the_thread_of_its_owner(loop: Loop, store: crudjt.Store) -> None:
    threads = set()

    def items() -> Iterator[dict[str, Any]]:
        for number in range(MANY):
            threads.add(threading.current_thread().name)
            yield {"n": number}

    assert len(loop.run(crudjt.aio.wrap(store).create_many(items()))) == MANY
    assert threads == {"loop"}
