"""By default a write is made on the loop's own thread where it waits for nothing, else in another thread."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import crudjt
import crudjt.aio
from crudjt._backends.embedded.engine import control_block, write_lock
from crudjt.aio import AsyncStore
from tests.support.embedded import engine_of
from tests.support.loops import Loop
from tests.support.processes import Fork, Worker

PATIENCE = 30.0
QUIET = 3600.0  # a sync interval at which no background thread comes


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with closing(Loop()) as loop:
        yield loop


@pytest.fixture
def store(path: Path, secret_key: str) -> Iterator[crudjt.Store]:
    """A store whose background threads sync nothing: a write that meets a sync is made in a thread."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        yield store


def noted_threads(store: crudjt.Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list to which each write adds the name of its thread."""
    names: list[str] = []
    engine = engine_of(store)

    def noted(write: Any, *arguments: Any) -> Any:
        names.append("writer" if threading.current_thread().name.startswith("crudjt-aio") else "loop")
        return write(*arguments)

    monkeypatch.setattr(engine, "write", partial(noted, engine.write))
    return names


@pytest.fixture
def threads(store: crudjt.Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return noted_threads(store, monkeypatch)


async def each_write(store: AsyncStore) -> None:
    """Make every kind of write once."""
    token = await store.create({"a": 1}, subject="x")
    assert await store.update(token, {"a": 2})
    assert await store.touch(token, ttl=60)
    rotated = await store.rotate(token)
    assert rotated is not None
    counted = await store.create({}, max_reads=2)
    assert await store.read(counted) is not None
    assert await store.delete(rotated)


def test_writes_that_meet_no_other_are_made_at_once_after_the_first(
    loop: Loop, store: crudjt.Store, threads: list[str]
) -> None:
    asynchronous = crudjt.aio.wrap(store)
    loop.run(each_write(asynchronous))
    assert threads == ["writer"] + ["loop"] * 6


def test_with_full_durability_every_write_is_made_in_a_thread(
    loop: Loop, path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with crudjt.open(path, secret_key=secret_key, durability="full") as store:
        threads = noted_threads(store, monkeypatch)
        loop.run(each_write(crudjt.aio.wrap(store)))
        assert set(threads) == {"writer"}


def test_where_the_lock_cannot_be_found_every_write_is_made_in_a_thread(
    loop: Loop, path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_lock, "mapped", lambda _file: iter(()))  # before a thread of the store looks for it
    with crudjt.open(path, secret_key=secret_key) as store:
        threads = noted_threads(store, monkeypatch)
        loop.run(each_write(crudjt.aio.wrap(store)))
        assert set(threads) == {"writer"}


async def write_during(store: AsyncStore, long: Awaitable[Any], begun: threading.Event, go_on: threading.Event) -> None:
    """Make a write while a long call waits, and another after it."""
    done = asyncio.ensure_future(long)
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    await store.create({})
    go_on.set()
    await done
    await store.create({})


def waiting(call: Callable[[], Any], begun: threading.Event, go_on: threading.Event) -> Callable[[], Any]:
    """Return a call that tells that it began, and is made when it may go on."""

    def waits() -> Any:
        begun.set()
        assert go_on.wait(PATIENCE)
        return call()

    return waits


def test_a_write_beside_a_sync_that_another_thread_makes_is_made_in_a_thread(
    loop: Loop, store: crudjt.Store, threads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asynchronous store has not been told of this sync."""
    asynchronous = crudjt.aio.wrap(store)
    loop.run(asynchronous.create({}))
    writer = engine_of(store)._log.current
    assert writer is not None
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(writer, "sync", waiting(writer.sync, begun, go_on))
    loop.run(write_during(asynchronous, asyncio.to_thread(store.sync), begun, go_on))
    assert threads == ["writer", "writer", "loop"]


def test_a_write_beside_a_long_call_is_made_in_a_thread(
    loop: Loop, store: crudjt.Store, threads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call holds no lock yet, but it may take one at any time."""
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(store, "sweep", waiting(store.sweep, begun, go_on))
    asynchronous = crudjt.aio.wrap(store)
    loop.run(asynchronous.create({}))
    loop.run(write_during(asynchronous, asynchronous.sweep(), begun, go_on))
    assert threads == ["writer", "writer", "loop"]


def _hold_the_write_lock(pipe: Connection, path: Path, secret_key: str) -> None:
    """Begin a write transaction, and end it when told to."""
    with crudjt.open(path, secret_key=secret_key) as store:
        transaction = engine_of(store).begin(None, None, True)
        pipe.send("holding")
        pipe.recv()
        transaction.abort()


async def _does_not_wait(loop_goes_on: Callable[[], Awaitable[Any]], writing: "asyncio.Future[Any]") -> None:
    for _ in range(50):
        await loop_goes_on()
        await asyncio.sleep(0.001)
    assert not writing.done()


@pytest.mark.slow
def test_a_write_beside_one_of_another_process_is_made_in_a_thread(
    loop: Loop, store: crudjt.Store, path: Path, secret_key: str, threads: list[str]
) -> None:
    asynchronous = crudjt.aio.wrap(store)
    token = loop.run(asynchronous.create({}))

    async def write_beside(holder: Worker) -> None:
        writing = asyncio.ensure_future(asynchronous.update(token, {"a": 1}))
        await _does_not_wait(lambda: asynchronous.read(token), writing)
        holder.send("go on")
        assert await asyncio.wait_for(writing, PATIENCE)

    with Worker(_hold_the_write_lock, path, secret_key) as holder:
        holder.receive()
        loop.run(write_beside(holder))
    assert loop.run(asynchronous.update(token, {"a": 2}))
    assert threads == ["writer", "writer", "loop"]


@pytest.mark.slow
def test_the_lock_of_a_process_that_was_killed_is_recovered_in_a_thread(
    loop: Loop, store: crudjt.Store, path: Path, secret_key: str, threads: list[str]
) -> None:
    asynchronous = crudjt.aio.wrap(store)
    token = loop.run(asynchronous.create({}))
    with Worker(_hold_the_write_lock, path, secret_key) as holder:
        holder.receive()
        holder.kill()
    assert loop.run(asynchronous.update(token, {"a": 1}))
    assert loop.run(asynchronous.update(token, {"a": 2}))
    assert threads == ["writer", "writer", "loop"]


def test_a_write_beside_one_of_another_thread_is_made_in_a_thread(
    loop: Loop, store: crudjt.Store, threads: list[str]
) -> None:
    asynchronous = crudjt.aio.wrap(store)
    token = loop.run(asynchronous.create({}))

    async def write_beside() -> None:
        with engine_of(store)._writing:
            writing = asyncio.ensure_future(asynchronous.update(token, {"a": 1}))
            await _does_not_wait(lambda: asynchronous.read(token), writing)
        assert await asyncio.wait_for(writing, PATIENCE)

    loop.run(write_beside())
    assert threads == ["writer", "writer"]


def test_the_first_session_under_a_new_key_is_made_in_a_thread(loop: Loop, path: Path, secret_key: str) -> None:
    """It waits for the manifest of the store, which another process may hold."""
    new_key = crudjt.generate_secret_key()
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create({})
    with crudjt.open(path, secret_key=[new_key, secret_key], sync_interval=QUIET) as store:
        asynchronous: Any = crudjt.aio.wrap(store)
        loop.run(asynchronous.delete("A" * 22))  # finds the lock
        assert not store.writes_at_once()  # type: ignore[attr-defined] # of an embedded store
        loop.run(asynchronous.create({}))
        assert store.writes_at_once()  # type: ignore[attr-defined] # as above


def test_a_forked_child_opens_the_store_again_in_a_thread(path: Path, secret_key: str) -> None:
    store = crudjt.open(path, secret_key=secret_key, sync_interval=QUIET)
    with closing(Loop()) as loop:
        loop.run(crudjt.aio.wrap(store).create({}))
    assert engine_of(store).is_free()

    def child() -> None:
        assert not engine_of(store).is_free()
        store.create({})
        assert engine_of(store).is_free()

    Fork(child).wait()
    store.close()


def test_a_store_that_was_closed_says_so(loop: Loop, store: crudjt.Store) -> None:
    asynchronous = crudjt.aio.wrap(store)
    loop.run(asynchronous.create({}))
    store.close()
    with pytest.raises(crudjt.StoreClosed):
        loop.run(asynchronous.create({}))


def test_the_word_of_a_sync_that_was_killed_is_cleared_by_the_next(store: crudjt.Store) -> None:
    store.create({})
    engine = engine_of(store)
    engine.words[control_block.WORD_SYNCING] = 1
    store.create({})
    store.sync()
    assert engine.words[control_block.WORD_SYNCING] == 0


def test_the_lock_file_is_not_opened_again(store: crudjt.Store) -> None:
    """To close a descriptor of it would drop the locks of LMDB."""
    engine = engine_of(store)
    store.create({})
    engine.find_lock()
    assert engine.is_free()
    targets = [each.resolve() for each in Path("/proc/self/fd").iterdir()]
    assert targets.count((engine.view.directory / "lock.mdb").resolve()) == 1
