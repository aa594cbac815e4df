"""Processes that end without closing their stores, or stand still: nothing is lost, and no other process waits."""

import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import crudjt
from tests.support.embedded import compact, engine_of, reader_pids
from tests.support.processes import PATIENCE, UNINTERRUPTIBLE, Forker, StoreProcess, Worker, eventually

pytestmark = [UNINTERRUPTIBLE, pytest.mark.slow]

HOURS = 3600.0
SUBJECT = "s"


def _create_and_leave(path: Path, secret_key: str, count: int) -> list[str]:
    """Return from a process that then ends by ``os._exit``, with its store open and nothing synced."""
    store = crudjt.open(path, secret_key=secret_key, sync_interval=HOURS)
    return [store.create({"n": n}) for n in range(count)]


def test_a_process_that_leaves_by_os_exit_without_closing_loses_nothing(
    path: Path, secret_key: str, forker: Forker
) -> None:
    tokens = forker.run(_create_and_leave, path, secret_key, 100).result
    with crudjt.open(path, secret_key=secret_key) as store:
        sessions = [store.read(token) for token in tokens]
    assert [session and session.data for session in sessions] == [{"n": n} for n in range(100)]


_EXIT_WITHOUT_CLOSING = """
import sys
import crudjt
store = crudjt.open(sys.argv[1], secret_key=sys.argv[2], sync_interval=3600)
print(store.create({"n": 1}))
"""


def test_a_process_that_ends_without_closing_loses_nothing_and_disturbs_nobody(path: Path, secret_key: str) -> None:
    """The interpreter shuts down in order, with the store open: its last sync must find every file still open."""
    with crudjt.open(path, secret_key=secret_key, sync_interval=HOURS) as store:
        ended = subprocess.run(
            [sys.executable, "-c", _EXIT_WITHOUT_CLOSING, path, secret_key],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert ended.stderr == ""
        assert store.stats().unsynced_bytes == 0
        assert store.read(ended.stdout.strip()) is not None
        store.create({})


def test_what_a_dead_process_left_unsynced_the_others_sync(path: Path, secret_key: str, forker: Forker) -> None:
    with (
        StoreProcess(path, secret_key, sync_interval=HOURS) as witness,
        StoreProcess(path, secret_key, sync_interval=HOURS) as writer,
    ):
        writer.call("create", {"n": 1})
        writer.kill()
        assert witness.call("stats").unsynced_bytes > 0
        with crudjt.open(path, secret_key=secret_key, sync_interval=0.01):
            assert eventually(lambda: witness.call("stats").unsynced_bytes == 0)
        witness.leave()


def _read_for_ever(pipe: Connection, path: Path, secret_key: str, token: str) -> None:
    """Read in all ways, until told to stop; answer how often.

    At SIGUSR1 it stops itself, between two steps of the interpreter: a process that is stopped in the instant in which
    LMDB gives it a slot for reading holds up those who ask for a new one (docs/guarantees.md).
    """
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGSTOP))
    with crudjt.open(path, secret_key=secret_key, sync_interval=3600) as store:
        pipe.send("open")
        count = 0
        while not pipe.poll():
            assert store.read(token) is not None
            assert store.peek(token) is not None
            assert len(list(store.sessions(SUBJECT))) == 1
            count += 1
    pipe.send(count)


def _die_reading(path: Path, secret_key: str) -> None:
    """Die with a read of the view begun."""
    store = crudjt.open(path, secret_key=secret_key, sync_interval=HOURS)
    reading = engine_of(store).begin()
    assert reading.id() >= 0
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("by", ["the next opening", "a background thread"])
def test_what_a_process_killed_in_the_middle_of_a_read_held_is_freed(
    path: Path, secret_key: str, forker: Forker, by: str
) -> None:
    """Its reader slot would keep pages from being used again for as long as anybody has the store open."""
    with StoreProcess(path, secret_key, sync_interval=HOURS) as witness:
        pid = forker.start(_die_reading, path, secret_key)
        assert forker.wait(pid).killed
        interval = HOURS if by == "the next opening" else 0.01
        with crudjt.open(path, secret_key=secret_key, sync_interval=interval) as store:
            store.create({})
            assert eventually(lambda: str(pid) not in reader_pids(store))
        witness.leave()


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_stopped_process_disturbs_nobody(path: Path, secret_key: str) -> None:
    """Twenty times, at any moment of its reading, and one that is idle; both go on when they are continued."""
    with crudjt.open(path, secret_key=secret_key) as store:
        token = store.create({"n": 0}, subject=SUBJECT)
        with (
            Worker(_read_for_ever, path, secret_key, token) as reader,
            StoreProcess(path, secret_key) as idle,
        ):
            reader.receive()
            idle.signal(signal.SIGSTOP)
            for n in range(20):
                reader.signal(signal.SIGUSR1)
                assert eventually(lambda: _is_stopped(reader.pid), PATIENCE)
                started = time.monotonic()
                assert store.update(token, {"n": n})
                other = store.create({}, max_reads=1)
                assert store.read(other) is not None
                assert store.sweep() == 0
                store.sync()
                assert compact(store, 0)
                assert time.monotonic() - started < PATIENCE
                reader.signal(signal.SIGCONT)
                time.sleep(0.002 * n)  # so that the next stop comes at another moment
            idle.signal(signal.SIGCONT)
            assert idle.call("read", token).data == {"n": 19}
            idle.leave()
            assert reader.ask("stop") > 0
            reader.finish()


_OPEN_AND_LOOK = """
import sys
import crudjt
with crudjt.open(sys.argv[1], secret_key=sys.argv[2]) as store:
    print(all(store.peek(token) for token in sys.argv[3:]))
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("count", [3, 4])
def test_a_process_that_dies_while_it_opens_the_view_loses_nothing_for_one_that_waits_for_it(
    path: Path, secret_key: str, tmp_path: Path, count: int
) -> None:
    """The first to open it initializes LMDB's lock file; it dies in the middle, stopped at a call that comes after."""
    with crudjt.open(path, secret_key=secret_key) as store:
        tokens = [store.create({}) for _ in range(count)]
    opening: list[str | Path] = [sys.executable, "-c", _OPEN_AND_LOOK, path, secret_key, *tokens]
    trace = tmp_path / "trace"
    trace.touch()
    strace: list[str | Path] = [
        "strace",
        "-f",
        "-o",
        trace,
        "-e",
        "trace=ftruncate",
        "-e",
        "inject=ftruncate:signal=STOP:when=1",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([*strace, *opening], env=environment) as first:
        assert eventually(lambda: "stopped by SIGSTOP" in trace.read_text(), PATIENCE)
        with subprocess.Popen(opening, env=environment, stdout=subprocess.PIPE, text=True) as second:
            assert eventually(lambda: _waits_for_view(path), PATIENCE)
            os.kill(_child_of(first.pid), signal.SIGKILL)
            assert second.communicate(timeout=PATIENCE)[0] == "True\n"


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _waits_for_view(path: Path) -> bool:
    """Tell whether a process waits for a lock on the view."""
    inodes = {str(file.stat().st_ino) for file in (path / "view", path / "view" / "lock.mdb")}
    waiting = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" in line]
    return any(fields[6].rpartition(":")[2] in inodes for fields in waiting)
