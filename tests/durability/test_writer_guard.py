"""Hosts where LMDB's write lock outlives its owner: a killed writer stops the others, who would wait for ever.

On macOS that is so, and under emulation by qemu-user. Here the guard is switched on where locks are robust; with
``nox -s portable`` it runs over an LMDB that has the locks of macOS.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

import crudjt
from crudjt._core.changes import Reader
from crudjt._filesystem import host
from tests.support.embedded import engine_of
from tests.support.processes import PATIENCE, UNINTERRUPTIBLE, Fork
from tests.support.project import ROOT

pytestmark = UNINTERRUPTIBLE

EMULATOR = f"qemu-{os.uname().machine}-static"


@pytest.fixture(autouse=True)
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "has_robust_locks", lambda: False)


def die_in_a_write(path: Path, secret_key: str) -> None:
    store = crudjt.open(path, secret_key=secret_key)
    store.create({"user": 2})
    engine_of(store).write(_die, ())


def _die(_view: Reader) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _fail(_view: Reader) -> NoReturn:
    raise ZeroDivisionError


@pytest.fixture
def bereft(path: Path, secret_key: str) -> Iterator[crudjt.Store]:
    """A store with one session, another process of which was killed inside a write."""
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create({"user": 1}, subject="s")
        assert Fork(die_in_a_write, path, secret_key).wait().killed
        yield store


def test_a_writer_that_was_killed_stops_the_others_in_place_of_a_hang(bereft: crudjt.Store) -> None:
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(crudjt.StoreFailed, match="a process was killed while it wrote"):
            bereft.create({"user": 3})
    assert time.monotonic() - began < PATIENCE  # under qemu it takes some seconds


def test_reads_say_so_too_once_a_writer_has_noticed(bereft: crudjt.Store) -> None:
    with pytest.raises(crudjt.StoreFailed):
        bereft.create({"user": 3})
    with pytest.raises(crudjt.StoreFailed, match="reopen it: nothing is lost"):
        list(bereft.sessions("s"))


def test_nothing_acknowledged_is_lost_when_all_have_reopened_it(
    bereft: crudjt.Store, path: Path, secret_key: str
) -> None:
    with pytest.raises(crudjt.StoreFailed):
        bereft.create({"user": 3})
    bereft.close()
    with crudjt.open(path, secret_key=secret_key) as store:
        assert sorted(session.data["user"] for session in store.list(data=True).sessions) == [1, 2]
        store.create({"user": 3})


def test_a_process_that_ends_between_writes_stops_none(path: Path, secret_key: str) -> None:
    def write_and_leave() -> None:
        crudjt.open(path, secret_key=secret_key).create({"user": 1})
        os.kill(os.getpid(), signal.SIGKILL)

    with crudjt.open(path, secret_key=secret_key) as store:
        for _ in range(3):
            assert Fork(write_and_leave).wait().killed
            store.create({"user": 2})
        assert store.count() == 6


def test_threads_and_forked_children_write_in_turn(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:

        def create() -> None:
            for _ in range(50):
                store.create({"user": 1})

        threads = [threading.Thread(target=create) for _ in range(4)]
        children = [Fork(create) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for child in children:
            child.wait()
        assert store.count() == 300


def test_a_write_that_fails_frees_the_lock(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        with pytest.raises(ZeroDivisionError):
            engine_of(store).write(_fail, ())
        store.create({"user": 1})


@pytest.mark.skipif(shutil.which(EMULATOR) is None, reason=f"needs {EMULATOR} (Debian: qemu-user-static)")
@pytest.mark.slow
def test_a_writer_that_is_killed_under_qemu_stops_the_others_too(path: Path, secret_key: str) -> None:
    code = f"""
import os, signal, crudjt
from crudjt._core.changes import Reader
from crudjt._filesystem import host
from tests.support.embedded import engine_of
assert not host.has_robust_locks()
store = crudjt.open({str(path)!r}, secret_key={secret_key!r}, max_size=2**26)
if not os.fork():
    store = crudjt.open({str(path)!r}, secret_key={secret_key!r})
    store.create({{}})
    engine_of(store).write(lambda _view: (os.kill(os.getpid(), signal.SIGKILL), []), ())
os.wait()
try:
    store.create({{}})
except crudjt.StoreFailed:
    store.close()
    with crudjt.open({str(path)!r}, secret_key={secret_key!r}) as store:
        store.create({{}})
        print(store.count(), "sessions")
"""
    done = subprocess.run(
        [EMULATOR, os.path.realpath(sys.executable), "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src"), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "2 sessions\n", done.stderr
