"""fork after open: parent, children and grandchildren go on with the same store, each as a process of its own."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.engine.segment import segment_numbers, segment_path
from crudjt._backends.embedded.engine.segment_reader import SegmentReader
from crudjt._core.changes import DELETE, INSERT
from crudjt._core.header import HEADER_BYTES
from crudjt._core.xaes import NONCE_BYTES
from crudjt._filesystem import host
from tests.support.embedded import engine_of, reader_pids, stored
from tests.support.processes import PATIENCE, UNINTERRUPTIBLE, Fork, StoreProcess, eventually, replayed_content

# That the process has threads is the point: the sync thread is one, and the store must come through a fork with it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
    UNINTERRUPTIBLE,
]

HOURS = 3600.0


class Child:
    """A forked process that does what it is told with the store it has inherited."""

    def __init__(self, store: crudjt.Store) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._fork = Fork(_serve, theirs, store)
        theirs.close()

    def call(self, method: str, *arguments: Any) -> Any:
        self._pipe.send((method, arguments))
        if not self._pipe.poll(PATIENCE):
            self._fork.kill()
        try:
            return self._pipe.recv()
        except EOFError:
            self._fork.wait()  # raises what the child raised
            raise

    def leave(self) -> None:
        self._pipe.send(None)
        assert not self._fork.wait().killed
        self._pipe.close()

    def kill(self) -> None:
        self._fork.end()
        self._pipe.close()


def _serve(pipe: Connection, store: crudjt.Store) -> None:
    while pipe.poll(2 * PATIENCE) and (request := pipe.recv()) is not None:
        method, arguments = request
        pipe.send(getattr(store, method)(*arguments))


@contextmanager
def _child(store: crudjt.Store) -> Iterator[Child]:
    child = Child(store)
    try:
        yield child
    except BaseException:
        child.kill()
        raise
    child.leave()


def _n(session: crudjt.Session | None) -> Any:
    return session and session.data["n"]


def test_parent_and_child_both_read_and_write_after_a_fork(store: crudjt.Store) -> None:
    token = store.create({"n": 0})
    with _child(store) as child:
        assert _n(child.call("read", token)) == 0
        of_child = child.call("create", {"n": 1})
        of_parent = store.create({"n": 2})
        assert _n(store.read(of_child)) == 1
        assert _n(child.call("read", of_parent)) == 2
        assert child.call("delete", of_parent)
        assert store.delete(of_child)
    assert store.read(of_parent) is None
    assert store.stats().sessions == 1


def test_what_either_changes_the_cache_of_the_other_does_not_hide(store: crudjt.Store) -> None:
    """The child begins with a copy of its parent's full cache."""
    tokens = store.create_many([{"n": 0}] * 4)
    for token in tokens:
        assert _n(store.read(token)) == _n(store.read(token)) == 0
    first, second, third, fourth = tokens
    with _child(store) as child:
        assert store.update(first, {"n": 1})
        assert _n(child.call("read", first)) == 1
        assert child.call("update", second, {"n": 2})
        assert _n(store.read(second)) == 2
        assert store.delete(third)
        assert child.call("read", third) is None
        assert child.call("rotate", fourth) is not None
        assert store.read(fourth) is None
        for n in range(1, 200):
            assert store.update(first, {"n": n})
            assert _n(child.call("read", first)) == n
            assert child.call("update", first, {"n": -n})
            assert _n(store.read(first)) == -n


def test_children_and_grandchildren_of_a_process_that_forked_all_use_the_store(store: crudjt.Store) -> None:
    """The middle generation has not touched the store before it forks again, and has, in turns."""
    token = store.create({"n": 0})

    def count(generations: int) -> int:
        session = store.read(token) if generations % 2 else None
        below = Fork(count, generations - 1).wait().result if generations else 0
        session = store.read(token)
        assert session is not None
        assert store.update(token, {"n": session.data["n"] + 1}, if_version=session.version)
        return int(below) + 1

    assert Fork(count, 4).wait().result == 5
    assert _n(store.read(token)) == 5


def _count_up(store: crudjt.Store, token: str, times: int) -> None:
    for _ in range(times):
        while True:
            session = store.read(token)
            assert session is not None
            try:
                store.update(token, {"n": session.data["n"] + 1}, if_version=session.version)
                break
            except crudjt.VersionConflict:
                continue


def test_processes_of_multiprocessing_that_are_forked_share_the_store(store: crudjt.Store) -> None:
    token = store.create({"n": 0})
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_count_up, args=(store, token, 100)) for _ in range(3)]
    try:
        for process in processes:
            process.start()
        _count_up(store, token, 100)
        for process in processes:
            process.join(PATIENCE)
            assert process.exitcode == 0
    finally:
        for process in processes:
            process.kill()
    assert _n(store.read(token)) == 400


def test_a_pre_forking_server_replaces_a_worker_that_is_killed(store: crudjt.Store) -> None:
    token = store.create({"n": 0})
    with ExitStack() as stack:
        workers = [stack.enter_context(_child(store)) for _ in range(3)]
        victim = Child(store)
        tokens = [worker.call("create", {"n": n}) for n, worker in enumerate([*workers, victim])]
        assert victim.call("update", token, {"n": 1})
        victim.kill()
        workers.append(stack.enter_context(_child(store)))
        for worker in workers:
            assert [_n(worker.call("read", each)) for each in [*tokens, token]] == [0, 1, 2, 3, 1]
        for n, worker in enumerate(workers):
            assert worker.call("update", token, {"n": 10 + n})
            assert [_n(each.call("read", token)) for each in workers] == [10 + n] * 4
    assert _n(store.read(token)) == 13


# In the middle of everything

FORKS = 30
LOAD_THREADS = 4


def _load(store: crudjt.Store, stop: threading.Event, errors: list[BaseException]) -> None:
    """Do everything, over and over."""
    try:
        while not stop.is_set():
            token = store.create({"n": 0}, subject="load")
            limited = store.create({"n": 0}, max_reads=2)
            assert _n(store.read(token)) == 0
            assert store.update(token, {"n": 1})
            assert _n(store.read(token)) == 1
            assert store.read(limited) is not None
            assert store.read(limited) is not None
            assert store.read(limited) is None
            rotated = store.rotate(token)
            assert rotated is not None
            assert store.delete(rotated)
    except BaseException as error:  # noqa: BLE001 - the main thread reports it
        errors.append(error)


@contextmanager
def _under_load(store: crudjt.Store) -> Iterator[None]:
    stop = threading.Event()
    errors: list[BaseException] = []
    threads = [threading.Thread(target=_load, args=(store, stop, errors), daemon=True) for _ in range(LOAD_THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []


def _live(store: crudjt.Store, token: str) -> list[str]:
    """Do what a worker does, and return the tokens it made."""
    assert _n(store.read(token)) == 0
    tokens = [store.create({"n": n}) for n in range(20)]
    assert [_n(store.read(each)) for each in tokens] == list(range(20))
    assert store.update(tokens[0], {"n": -1})
    assert store.delete(tokens.pop())
    assert _n(store.read(tokens[0])) == -1
    return tokens


@pytest.mark.slow
def test_forks_in_the_middle_of_reads_and_writes_of_other_threads_disturb_nobody(
    path: Path, secret_key: str, tmp_path: Path
) -> None:
    """No child and no thread waits for ever or fails, no token and no nonce is made twice, and log and view agree."""
    tokens: list[str] = []
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"n": 0})
        with _under_load(store):
            for n in range(FORKS):
                children = [Fork(_live, store, token) for _ in range(2)]
                try:
                    tokens += [store.create({"n": n}) for _ in range(20)]
                    for child in children:
                        tokens += child.wait().result
                finally:
                    for child in children:
                        child.end()
                time.sleep(0.001 * (n % 7))  # so that the next fork comes at another moment
        assert len(set(tokens)) == len(tokens) == FORKS * (20 + 2 * 19)
        assert all(store.read(each) is not None for each in tokens)
        content = stored(store)
        assert replayed_content(path, secret_key, tmp_path / "copy") == content
    ids, nonces = _made(path)
    assert len(set(ids)) == len(ids) > len(tokens)
    assert len(set(nonces)) == len(nonces) > len(ids)


def _made(path: Path) -> tuple[list[bytes], list[bytes]]:
    """Return every id and every nonce that was ever made, as the log has them."""
    ids, nonces = [], []
    for number in segment_numbers(path / "log"):
        for entry in SegmentReader(segment_path(path / "log", number)).entries():
            for kind, id_, record in entry.changes:
                if kind == INSERT:
                    ids.append(id_)
                if kind != DELETE:
                    nonces.append(record[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES])
    return ids, nonces


def test_a_fork_by_a_thread_that_is_not_the_main_one_works(store: crudjt.Store) -> None:
    token = store.create({"n": 0})
    results: list[list[str]] = []
    thread = threading.Thread(target=lambda: results.append(Fork(_live, store, token).wait().result))
    thread.start()
    thread.join(PATIENCE)
    assert [_n(store.read(each)) for each in results[0]] == [-1, *range(1, 19)]


class PausingClock:
    """The system's clock, which stops one thread once, where it reads the time."""

    def __init__(self) -> None:
        self.paused = threading.Event()
        self.go_on = threading.Event()
        self.victim = ""

    def __call__(self) -> int:
        if threading.current_thread().name == self.victim:
            self.victim = ""
            self.paused.set()
            assert self.go_on.wait(PATIENCE)
        return time.time_ns()


def test_a_child_forked_during_a_sweep_does_not_keep_others_from_sweeping(path: Path, secret_key: str) -> None:
    """The lock of maintenance must not live on in a child that knows nothing of it."""
    clock = PausingClock()
    with crudjt.open(path, secret_key=secret_key, clock=clock, sync_interval=HOURS) as store:
        store.create({}, ttl=0.001)
        clock.victim = "sweeper"
        sweeper = threading.Thread(target=store.sweep, name="sweeper")
        sweeper.start()
        assert clock.paused.wait(PATIENCE)
        with _child(store):
            clock.go_on.set()
            sweeper.join(PATIENCE)
            store.create({}, ttl=0.001)
            time.sleep(0.002)  # the ttl of one millisecond; the paused clock is the real one
            assert store.sweep() == 1


def test_a_child_forked_during_a_sync_can_sync(path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that was syncing is not in the child, nor is what it held."""
    syncing, go_on = threading.Event(), threading.Event()
    sync_data = _filesystem.sync_data

    def slow_sync(descriptor: int) -> None:
        if threading.current_thread().name == "syncer":
            syncing.set()
            assert go_on.wait(PATIENCE)
        sync_data(descriptor)

    def create_and_sync() -> int:
        store.create({})
        store.sync()
        return store.stats().unsynced_bytes

    monkeypatch.setattr(_filesystem, "sync_data", slow_sync)
    with crudjt.open(path, secret_key=secret_key, sync_interval=HOURS) as store:
        store.create({})
        syncer = threading.Thread(target=store.sync, name="syncer")
        syncer.start()
        assert syncing.wait(PATIENCE)
        try:
            assert Fork(create_and_sync).wait().result == 0
        finally:
            go_on.set()
            syncer.join(PATIENCE)
        assert not syncer.is_alive()


def test_a_child_forked_while_another_thread_opens_a_store_can_open_it(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = threading.Event()
    current_boot = host.current_boot

    def slow_boot() -> host.Boot:
        if not opening.is_set():
            opening.set()
            time.sleep(0.2)  # the fork waits for the opening, so nothing can tell it when to go on
        return current_boot()

    def open_and_create() -> str:
        with crudjt.open(path, secret_key=secret_key) as store:
            return store.create({"n": 0})

    monkeypatch.setattr(host, "current_boot", slow_boot)
    tokens: list[str] = []
    opener = threading.Thread(target=lambda: tokens.append(open_and_create()))
    opener.start()
    assert opening.wait(PATIENCE)
    tokens.append(Fork(open_and_create).wait().result)
    opener.join(PATIENCE)
    with crudjt.open(path, secret_key=secret_key) as store:
        assert [_n(store.read(token)) for token in tokens] == [0, 0]


# What a child leaves to its parent


def test_the_reader_slots_of_the_parent_survive_a_child(store: crudjt.Store) -> None:
    """A snapshot that the parent holds stays whole while a child reads, writes, and ends, with and without closing."""
    tokens = store.create_many([{"n": n} for n in range(50)])
    before = stored(store)
    view = engine_of(store).view
    snapshot = view.snapshot()
    assert str(os.getpid()) in reader_pids(store)

    def churn(*, close: bool) -> None:
        for n in range(300):
            assert store.update(tokens[n % 50], {"n": -n})
            assert store.read(tokens[n % 50]) is not None
        engine_of(store).view.clear_dead_readers()
        if close:
            store.close()

    for close in (False, True, False):
        Fork(lambda close=close: churn(close=close)).wait()
        assert str(os.getpid()) in reader_pids(store)
        with snapshot.cursor() as cursor:
            cursor.set_range(b"s")
            kept = dict(cursor)
        assert {key: kept[key] for key in before} == before
        assert all(store.peek(token) is not None for token in tokens)
    snapshot.abort()


def test_close_in_a_child_does_not_close_the_store_of_its_parent(store: crudjt.Store) -> None:
    token = store.create({"n": 0})
    assert _n(store.read(token)) == 0

    def close(*, use: bool) -> None:
        if use:
            assert _n(store.peek(token)) == 0
        store.close()
        with pytest.raises(crudjt.StoreClosed):
            store.read(token)

    Fork(lambda: close(use=True)).wait()
    Fork(lambda: close(use=False)).wait()
    assert _n(store.read(token)) == _n(store.peek(token)) == 0
    assert store.delete(token)


def test_close_in_the_parent_does_not_close_the_store_of_its_child(path: Path, secret_key: str) -> None:
    store = crudjt.open(path, secret_key=secret_key, sync_interval=0.01)
    used, unused = Child(store), Child(store)
    token = used.call("create", {"n": 0})
    store.close()
    try:
        for child in (used, unused):
            assert _n(child.call("read", token)) == 0
            assert child.call("update", token, {"n": 0})
            assert eventually(lambda child=child: child.call("stats").unsynced_bytes == 0)  # type: ignore[misc] # bound
    finally:
        used.leave()
        unused.leave()


def test_a_child_can_open_the_store_anew_beside_what_it_inherited(path: Path, secret_key: str) -> None:
    """Whether it has used its inheritance or not, closed it or not."""
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"n": 0})

        def reopen(*, use: bool, close: bool) -> None:
            if use:
                assert _n(store.peek(token)) == 0
            if close:
                store.close()
            with crudjt.open(path, secret_key=secret_key) as again:
                assert _n(again.read(token)) == 0
                assert again.update(token, {"n": 0})
            if not close:
                assert _n(store.read(token)) == 0

        for use in (False, True):
            for close in (False, True):
                Fork(lambda use=use, close=close: reopen(use=use, close=close)).wait()
        assert _n(store.read(token)) == 0


def test_the_unsynced_tail_of_a_child_that_died_is_synced_by_its_parent(path: Path, secret_key: str) -> None:
    def create_and_die() -> None:
        store.create({})
        os.kill(os.getpid(), signal.SIGKILL)

    with crudjt.open(path, secret_key=secret_key, sync_interval=0.01) as store:
        assert Fork(create_and_die).wait().killed
        assert eventually(lambda: store.stats().unsynced_bytes == 0)


_EXIT_NORMALLY = """
import os, sys, threading
import crudjt
store = crudjt.open(sys.argv[1], secret_key=sys.argv[2], sync_interval=3600)
token = store.create({"n": 0})
for use in (False, True):
    pid = os.fork()
    if not pid:
        if use:
            assert store.read(token).data == {"n": 0}
            store.create({"n": 1})
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.read(token).data == {"n": 0}
    assert store.peek(token).data == {"n": 0}
    assert store.update(token, {"n": 0})
    store.sync()
assert store.stats().sessions == 2
store.close()
print("undisturbed")
"""


@pytest.mark.slow
def test_a_child_that_exits_normally_disturbs_nobody(path: Path, secret_key: str) -> None:
    """Its interpreter shuts down in order, with the inherited store open, used or not."""
    with StoreProcess(path, secret_key) as other:
        ended = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _EXIT_NORMALLY, path, secret_key],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "undisturbed\n", "")
        assert other.call("create", {"n": 2})
        other.leave()
