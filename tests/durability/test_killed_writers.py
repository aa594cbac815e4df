"""Spawned processes that write and are killed, by what each system has for it: SIGKILL, or TerminateProcess.

The kills of the other tests need forks. These run on Windows too, where a dead writer abandons the mutex of LMDB.
"""

import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import crudjt
from crudjt._filesystem import host
from tests.support.processes import PATIENCE, UNINTERRUPTIBLE, Worker

pytestmark = [
    UNINTERRUPTIBLE,
    pytest.mark.slow,
    pytest.mark.skipif(not host.has_robust_locks(), reason="a death stops all"),
]

WRITERS = 2
KILLS = 6
SECONDS = 0.3


def _write(pipe: Connection, path: Path, secret_key: str) -> None:
    """Change sessions for ever, and tell each change: a token and its number, ``None`` if it is gone."""
    with crudjt.open(path, secret_key=secret_key) as store:
        number = 0
        while True:
            token = store.create({"n": number}, subject="s")
            pipe.send((token, number))
            rotated = store.rotate(token)
            pipe.send((token, None))
            if rotated is not None:
                pipe.send((rotated, number))
                store.update(rotated, {"n": -number}, if_version=None)
                pipe.send((rotated, -number))
            number += 1


def _heard(worker: Worker) -> dict[str, int | None]:
    """Return what a killed process was sure of. Its last change may have happened without a word."""
    heard: dict[str, int | None] = {}
    try:
        while worker.has_answered:
            token, number = worker.receive()
            heard[token] = number
    except (EOFError, OSError):
        pass
    return heard


def test_nothing_acknowledged_is_lost_and_the_others_go_on_at_once(path: Path, secret_key: str) -> None:
    sure: dict[str, int | None] = {}
    with crudjt.open(path, secret_key=secret_key) as store:
        for _ in range(KILLS // WRITERS):
            workers = [Worker(_write, path, secret_key) for _ in range(WRITERS)]
            for worker in workers:
                worker.receive(PATIENCE)
            time.sleep(SECONDS)
            for worker in workers:
                worker.kill()
                began = time.monotonic()
                own = store.create({"n": 0})
                assert time.monotonic() - began < PATIENCE
                heard = _heard(worker)
                worker.end()
                last = list(heard)[-2:]  # what came after them was in flight
                sure |= {token: number for token, number in heard.items() if token not in last} | {own: 0}
    with crudjt.open(path, secret_key=secret_key) as store:
        found = {token: store.read(token) for token in sure}
    assert {token: session and session.data["n"] for token, session in found.items()} == sure
