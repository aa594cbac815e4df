"""Forks that C code makes, of which no hook of Python is told: those of uWSGI, and of what embeds an interpreter."""

import ctypes
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.engine import background, registry, view
from crudjt._backends.embedded.engine.segment import segment_numbers, segment_path
from crudjt._backends.embedded.engine.segment_reader import SegmentReader
from crudjt._core import process_guard, random_pool
from crudjt._core.changes import DELETE
from crudjt._core.header import HEADER_BYTES
from crudjt._core.xaes import NONCE_BYTES
from crudjt.testing import FakeClock
from tests.support.embedded import engine_of, reader_pids
from tests.support.processes import (
    UNINTERRUPTIBLE,
    Fork,
    ForkBelowPython,
    Forker,
    eventually,
    held_by_another_thread,
)
from tests.support.project import ROOT

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
    UNINTERRUPTIBLE,
]

QUIET = 3600.0


def nonces_of(path: Path) -> list[bytes]:
    """Return the nonce of every record in the log of a store."""
    log = path / "log"
    return [
        record[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES]
        for number in segment_numbers(log)
        for entry in SegmentReader(segment_path(log, number)).entries()
        for kind, _, record in entry.changes
        if kind != DELETE
    ]


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    """Where the parents of these forks begin, with no thread but those of a store: see `fork_below_python`."""
    with Forker() as forker:
        yield forker


class _ForkAtOnce(Fork):
    """A fork below Python that waits for no thread to sleep."""

    def _fork(self) -> int:
        pid: int = ctypes.PyDLL(None).fork()
        return pid


def _open_and_fork_at_once(path: Path, secret_key: str) -> None:
    background._SETTLE_SECONDS = QUIET  # a busy machine may come to the fork later; this process ends with the function
    for number in range(10):
        with crudjt.open(path / str(number), secret_key=secret_key, sync_interval=QUIET) as store:
            assert _ForkAtOnce(store.create, {}).wait().result


def test_a_store_that_was_just_opened_hangs_no_child(forker: Forker, path: Path, secret_key: str) -> None:
    """As of a server that loads the application and forks: no thread asks for the interpreter then."""
    path.mkdir()
    forker.run(_open_and_fork_at_once, path, secret_key)


def _read_and_write(path: Path, secret_key: str) -> None:
    store = crudjt.open(path, secret_key=secret_key)
    tokens = store.create_many([{"n": n} for n in range(100)])
    assert all(store.peek(token) for token in tokens)
    slots = Counter(reader_pids(store))[str(os.getpid())]

    def work(generations: int) -> int:
        assert all(store.peek(token) for token in tokens)
        assert store.update(tokens[generations], {"n": "changed"})
        pids = Counter(reader_pids(store))
        assert pids[str(os.getpid())]
        return 1 + (ForkBelowPython(work, generations - 1).wait().result if generations else 0)

    assert ForkBelowPython(work, 2).wait().result == 3
    assert Counter(reader_pids(store))[str(os.getpid())] == slots
    assert [session.data["n"] for session in store.read_many(tokens[:3]) if session] == ["changed"] * 3


def test_children_read_and_write_as_processes_of_their_own(forker: Forker, path: Path, secret_key: str) -> None:
    forker.run(_read_and_write, path, secret_key)


def _create_in_four_processes(path: Path, secret_key: str) -> None:
    store = crudjt.open(path, secret_key=secret_key, clock=FakeClock())

    def create() -> list[str]:
        tokens = [store.create({"n": n}, subject="anna") for n in range(50)]
        assert store.update(tokens[0], {"n": "changed"})
        return tokens

    tokens = create()
    forks = [kind(create) for kind in (ForkBelowPython, Fork, ForkBelowPython)]
    tokens += create()
    for fork in forks:
        tokens += fork.wait().result
    assert len(set(tokens)) == len({session.id for session in store.sessions("anna")}) == 250


def test_no_nonce_and_no_id_is_used_by_two_processes(forker: Forker, path: Path, secret_key: str) -> None:
    """The clock stands still, so that ids differ by their random bytes only."""
    forker.run(_create_in_four_processes, path, secret_key)
    nonces = nonces_of(path)
    assert len(set(nonces)) == len(nonces) == 255
    assert len({nonce[:12] for nonce in nonces}) >= 4  # each process has a first half of its own


def _draw_random_bytes() -> None:
    random_pool.chunks.take()  # draws many

    def take() -> list[bytes]:
        return [random_pool.chunks.take() for _ in range(10)]

    of_child = ForkBelowPython(take).wait().result
    assert not set(of_child) & set(take())


def test_random_bytes_that_were_drawn_in_advance_are_for_one_process(forker: Forker) -> None:
    forker.run(_draw_random_bytes)


def _fork_beside_held_locks(path: Path, secret_key: str) -> None:
    store = crudjt.open(path, secret_key=secret_key)
    token = store.create({"n": 0})
    engine = engine_of(store)
    locks = engine._writing, engine._syncing, engine.copying, engine._reviving, registry._registry.lock

    def work() -> bool:
        assert store.read(token) is not None
        assert store.update(token, {"n": 1})
        store.sync()
        store.backup(engine.directory.with_name("backup"))
        store.close()
        return True

    with held_by_another_thread(*locks):
        assert ForkBelowPython(work).wait().result
    assert store.read(token) is not None


def test_a_child_does_not_wait_for_locks_that_threads_of_its_parent_held(
    forker: Forker, path: Path, secret_key: str
) -> None:
    forker.run(_fork_beside_held_locks, path, secret_key)


def _close_in_a_child(path: Path, secret_key: str, used: bool) -> None:
    store = crudjt.open(path, secret_key=secret_key)
    token = store.create({"n": 0})

    def work() -> bool:
        assert not used or store.read(token) is not None
        store.close()
        with pytest.raises(crudjt.StoreClosed):
            store.read(token)
        return True

    assert ForkBelowPython(work).wait().result
    assert store.read(token) is not None


@pytest.mark.parametrize("used", [False, True])
def test_closing_in_a_child_waits_for_no_thread_of_the_parent(
    forker: Forker, path: Path, secret_key: str, used: bool
) -> None:
    forker.run(_close_in_a_child, path, secret_key, used)


def _wait_for_a_sync_in_a_child(path: Path, secret_key: str) -> None:
    store = crudjt.open(path, secret_key=secret_key, sync_interval=0.2)

    def work() -> bool:
        store.create({"n": 1})
        return eventually(lambda: store.stats().unsynced_bytes == 0)

    assert ForkBelowPython(work).wait().result


def test_a_child_has_background_threads_of_its_own(forker: Forker, path: Path, secret_key: str) -> None:
    forker.run(_wait_for_a_sync_in_a_child, path, secret_key)


def _open_again_in_a_child(path: Path, secret_key: str) -> None:
    store = crudjt.open(path, secret_key=secret_key)
    token = store.create({"n": 0})

    def work() -> bool:
        with crudjt.open(path.parent / "." / path.name, secret_key=secret_key) as again:
            return again.read(token) is not None

    assert ForkBelowPython(work).wait().result


def test_a_child_opens_a_store_that_its_parent_has_open_by_another_path(
    forker: Forker, path: Path, secret_key: str
) -> None:
    """LMDB must not open a file twice in a process: the child must not count what its parent has open."""
    forker.run(_open_again_in_a_child, path, secret_key)


def test_a_program_may_call_only_the_hook_of_the_parent_or_of_the_child() -> None:
    """Options of uWSGI call them apart from each other."""
    registry._registry.after_fork()
    registry._registry.before_fork()
    registry._registry.after_fork()
    registry._registry.after_fork()
    assert registry._registry.lock.acquire(blocking=False)
    registry._registry.lock.release()


def test_reads_go_on_when_dead_processes_have_left_every_reader_slot_taken(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "_LOCK_FILE_BYTES", 8192)
    monkeypatch.setattr(view, "MAX_READERS", 100)
    monkeypatch.setattr(view, "_SPARE_READS", 0)
    with crudjt.open(path, secret_key=secret_key, sync_interval=QUIET) as store:
        token = store.create({"n": 0})

        def take_every_slot() -> None:
            engine, held = engine_of(store), []
            with suppress(crudjt.StoreBusy):
                while True:
                    held.append(engine.snapshot())
            os.kill(os.getpid(), signal.SIGKILL)

        for read in (
            lambda: store.peek(token),
            lambda: list(store.sessions("anna")) == [],
            lambda: engine_of(store).snapshot(),
        ):
            assert Fork(take_every_slot).wait().killed
            assert read()


def _see_a_fork(kind: type[Fork]) -> None:
    flag = process_guard.ComparedProcessId()
    flag[0] = 1

    def of_child() -> tuple[int, int]:
        before = flag[0]
        flag[0] = 1
        return before, flag[0]

    assert kind(of_child).wait().result == (0, 1)
    assert flag[0]


@pytest.mark.parametrize("kind", [Fork, ForkBelowPython])
def test_without_help_of_the_kernel_the_process_id_tells_of_a_fork(forker: Forker, kind: type[Fork]) -> None:
    forker.run(_see_a_fork, kind)


WITHOUT_WIPED_PAGES = """
import mmap, os, sys
del mmap.MAP_ANONYMOUS
import crudjt
from crudjt._core import process_guard, random_pool
from tests.support.forks import fork_below_python
assert isinstance(process_guard.own_memory, process_guard.ComparedProcessId)
with crudjt.open(sys.argv[1], secret_key=sys.argv[2]) as store:
    token = store.create({"n": 0})
    pid = fork_below_python()
    if not pid:
        assert store.peek(token) and all(store.create({"n": n}) for n in range(20))
        os._exit(0)
    assert all(store.create({"n": n}) for n in range(20))
    assert os.waitpid(pid, 0)[1] == 0
    assert store.stats().sessions == 41
"""


def test_a_store_comes_through_such_a_fork_where_the_kernel_cannot_wipe_a_page(path: Path, secret_key: str) -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_WIPED_PAGES, path, secret_key], cwd=ROOT, check=True, timeout=60)
    nonces = nonces_of(path)
    assert len(set(nonces)) == len(nonces) == 41
