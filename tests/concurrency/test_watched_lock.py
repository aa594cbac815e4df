"""A writer watches the write lock for a moment, and naps, before it waits in LMDB, where it would sleep."""

import ctypes
import mmap
import os
import resource
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt._backends.embedded.engine import engine as engine_module
from crudjt._backends.embedded.engine.write_lock import WriteLock, watch
from tests.support.embedded import engine_of
from tests.support.processes import Worker
from tests.support.waiting import PATIENCE, eventually

LOCK, TRANSACTION = 16, 2  # words of LMDB's lock file


def _hold_the_write_lock(pipe: Connection, path: Path, secret_key: str) -> None:
    """Begin a write transaction, and end it when told to."""
    with crudjt.open(path, secret_key=secret_key) as store:
        transaction = engine_of(store).begin(None, None, True)
        pipe.send("holding")
        pipe.recv()
        transaction.abort()


def test_a_write_beside_one_of_another_process_watches_its_lock(
    store: crudjt.Store, path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> bool:
        store.create({})
        return engine_of(store).write_lock.found

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})  # it watches where the holder may have a processor
    assert eventually(found)
    watched = threading.Event()

    def watching(word: Any) -> None:
        watch(word)
        watched.set()

    monkeypatch.setattr(engine_module, "watch", watching)
    store.create({})
    assert not watched.is_set()
    with Worker(_hold_the_write_lock, path, secret_key) as holder:
        holder.receive()
        writing = threading.Thread(target=store.create, args=({},))
        writing.start()
        assert watched.wait(PATIENCE)
        assert writing.is_alive()
        holder.send("go on")
        writing.join(PATIENCE)
    assert not writing.is_alive()


def test_a_watcher_naps_so_that_a_holder_without_a_processor_can_go_on(
    store: crudjt.Store, path: Path, secret_key: str
) -> None:
    def found() -> bool:
        store.create({})
        return engine_of(store).write_lock.found

    assert eventually(found)
    with Worker(_hold_the_write_lock, path, secret_key) as holder:
        holder.receive()
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        watch(engine_of(store).write_lock.word)
        naps = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before
        holder.send("go on")
    assert naps > 10


def test_a_watcher_of_a_thread_that_has_ended_returns(words: "ctypes.Array[ctypes.c_uint32]") -> None:
    """LMDB finds out what the dead have left; the kernel may not know their thread any more."""
    words[LOCK] = 2**29
    watch(memoryview(words).cast("B").cast("I")[LOCK : LOCK + 1])


def test_no_other_call_waits_for_a_process_that_holds_the_lock(path: Path, secret_key: str) -> None:
    """The thread that sees where the lock is does not take it."""
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({})
    with Worker(_hold_the_write_lock, path, secret_key) as holder:
        holder.receive()
        with crudjt.open(path, secret_key=secret_key) as store:
            assert store.read(token) is not None
        holder.send("go on")


@pytest.fixture
def words(tmp_path: Path) -> "Iterator[ctypes.Array[ctypes.c_uint32]]":
    """The words of a lock file that this process has mapped."""
    with (tmp_path / "lock.mdb").open("w+b") as file:
        file.truncate(mmap.PAGESIZE)
        mapped = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        yield (ctypes.c_uint32 * (mmap.PAGESIZE // 4)).from_buffer(mapped)


@pytest.mark.parametrize("processors", [1, 2])
def test_the_lock_is_not_taken_for_the_number_of_a_transaction(
    words: "ctypes.Array[ctypes.c_uint32]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    lock = WriteLock(tmp_path / "lock.mdb")
    lock.find_prepared()
    before = lock.found
    words[TRANSACTION] = words[LOCK] = threading.get_native_id()
    lock.prepare()
    lock.find_prepared()
    assert (before, lock.found) == (False, True)
    assert lock.word[0]
    assert bool(lock.watched[0]) is (processors > 1), "with one processor its holder could not go on"
    words[LOCK] = 0
    assert not lock.word[0]


def test_a_map_that_has_gone_since_is_not_looked_at(tmp_path: Path) -> None:
    """That of a store that was closed before, which lasts until it is collected. To look there ends the process."""
    lock = WriteLock(tmp_path / "lock.mdb")
    with (tmp_path / "lock.mdb").open("w+b") as file:
        file.truncate(mmap.PAGESIZE)
        mapped = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        lock.prepare()
        mapped.close()
    assert len(lock.prepared) == 1
    lock.find_prepared()
    assert not lock.found
