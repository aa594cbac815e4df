"""Threads of one process, all with the same open store: what an operation costs them together."""

import threading
import time
from collections.abc import Callable

from benchmarks.payloads import Data
from benchmarks.peers.interface import Engine

PATIENCE = 120


def run_threads(engine: Engine, data: Data, threads: int, operations: int) -> dict[str, float]:
    """Return microseconds per operation: from the first call to the last answer of all, divided by their number."""
    assert engine.update is not None
    assert engine.delete is not None
    update, delete = engine.update, engine.delete
    each = operations // threads
    tokens: list[list[str]] = [[] for _ in range(threads)]

    def create(own: list[str]) -> None:
        own.extend(engine.create(data) for _ in range(each))

    def read(own: list[str]) -> None:
        for token in own:
            assert engine.data_of(engine.read(token))

    def change(own: list[str]) -> None:
        for token in own:
            assert update(token, data)

    def end(own: list[str]) -> None:
        for token in own:
            assert delete(token)

    work = {"create": create, "read": read, "update": change, "delete": end}
    return {name: _timed(step, tokens) / (each * threads) for name, step in work.items()}


def _timed(step: Callable[[list[str]], None], tokens: list[list[str]]) -> float:
    together = threading.Barrier(len(tokens) + 1)

    def run(own: list[str]) -> None:
        together.wait(PATIENCE)
        step(own)
        together.wait(PATIENCE)

    for own in tokens:
        threading.Thread(target=run, args=[own]).start()
    together.wait(PATIENCE)
    started = time.perf_counter_ns()
    together.wait(PATIENCE)
    return (time.perf_counter_ns() - started) / 1000
