"""A load of reads and writes, every operation timed by itself: one of the processes that work on a store at once.

Nine in ten are reads of tokens that all processes share. The others are, in equal parts, updates of such tokens, and
creations and deletions of the process's own.
"""

import os
import random
import sys
import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path

from benchmarks.payloads import Data, updated
from benchmarks.peers.interface import Engine

READ_SHARE = 0.9
_BLOCK = 1000


class Samples:
    """When operations began and how long they took, in nanoseconds of a clock that all processes of a host share."""

    def __init__(self) -> None:
        """Begin with none."""
        self.started = array("q")
        self.took = array("q")

    def save(self, path: Path) -> None:
        """Write both series, one after the other."""
        with path.open("wb") as file:
            self.started.tofile(file)
            self.took.tofile(file)

    @classmethod
    def load(cls, path: Path) -> "Samples":
        """Read what `save` has written."""
        samples = cls()
        count = path.stat().st_size // 2 // samples.started.itemsize
        with path.open("rb") as file:
            samples.started.fromfile(file, count)
            samples.took.fromfile(file, count)
        return samples


def run_mix(engine: Engine, tokens: list[str], data: Data, seconds: float, results: Path) -> None:
    """Say that everything is ready, wait for a line of input, and work until the time or the input is over."""
    assert engine.update is not None
    assert engine.delete is not None
    rng = random.Random()  # noqa: S311 - it chooses tokens to read
    read, update, delete, create, data_of = engine.read, engine.update, engine.delete, engine.create, engine.data_of
    changed = updated(data)
    reads, writes = Samples(), Samples()
    own = [create(data) for _ in range(100)]
    created: list[str] = []

    def read_one(token: str) -> None:
        data_of(read(token))

    def update_one(token: str) -> None:
        update(token, changed)

    def create_one(_token: str) -> None:
        created.append(create(data))

    def delete_one(_token: str) -> None:
        if own:
            delete(own.pop())
        else:
            own.extend(created)
            created.clear()

    kinds: list[Callable[[str], None]] = [read_one, update_one, create_one, delete_one]
    write_share = (1 - READ_SHARE) / 3
    weights = [READ_SHARE, write_share, write_share, write_share]
    over = _end_of_input()
    clock = time.perf_counter_ns
    deadline = clock() + int(seconds * 1e9)
    while not over.is_set() and clock() < deadline:
        chosen = rng.choices(tokens, k=_BLOCK)
        for call, token in zip(rng.choices(kinds, weights, k=_BLOCK), chosen, strict=True):
            samples = reads if call is read_one else writes
            started = clock()
            call(token)
            ended = clock()
            samples.started.append(started)
            samples.took.append(ended - started)
            if ended >= deadline:
                break
    reads.save(results.with_suffix(".reads"))
    writes.save(results.with_suffix(".writes"))


def _end_of_input() -> threading.Event:
    """Wait for the line that says go; return what is set when the input ends."""
    print("ready", flush=True)
    sys.stdin.readline()
    over = threading.Event()

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)  # past Python's buffer, whose lock would be missed when the process ends
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    return over
