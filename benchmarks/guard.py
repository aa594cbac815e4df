"""A guard against slow paths: what operations cost in relation to the floor, in the same process at the same time.

    python -m benchmarks.guard

No absolute time is looked at. Store and floor take turns in chunks that are shorter than a time slice, and of each the
fastest counts: other work on the machine makes chunks slower, never faster, and some are always left alone. What
remains is what the path costs, so that a path that costs twice as much has twice the ratio.

`EXPECTED` holds what the paths cost when it was last looked at; half as much again is `allowed`, which leaves room for
other processors and Pythons, and none for a doubling. Who makes a path faster lowers its number, so that it stays so.
"""

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.payloads import PAYLOADS, updated
from benchmarks.peers.crudjt_store import open_store
from benchmarks.peers.floor import open_floor
from benchmarks.peers.interface import Engine, Place

EXPECTED = {"create": 2.9, "read, not cached": 2.8, "read, cached": 0.33, "update": 3.5, "delete": 5.4}
TOLERANCE = 1.5

_PAYLOAD = 196
_CHUNK = 100
_CHUNKS = 200

Best = dict[str, int]


def allowed(operation: str) -> float:
    """Return the highest ratio to the floor that an operation may have."""
    return EXPECTED[operation] * TOLERANCE


def ratios(ours: Engine, floor: Engine) -> dict[str, float]:
    """Return how many times the floor's cost each operation of ours has."""
    best: Best = {}
    lowest: Best = {}
    gc.disable()  # a collection would hit one of the two
    try:
        for _ in range(_CHUNKS):
            _live_once(ours, best)
            _live_once(floor, lowest)
    finally:
        gc.enable()
    lowest["read, cached"] = lowest["read, not cached"]  # the floor has no cache
    return {operation: best[operation] / lowest[operation] for operation in EXPECTED}


def _live_once(engine: Engine, best: Best) -> None:
    """Let some sessions live through everything, and keep the best time of each operation."""
    assert engine.update is not None
    assert engine.delete is not None
    data = PAYLOADS[_PAYLOAD]
    changed = updated(data)
    update = engine.update
    tokens = _keep_best(best, "create", engine.create, [data] * _CHUNK)
    # Other text than what was returned, as it comes with a request.
    tokens = " ".join(tokens).split()
    _keep_best(best, "read, not cached", engine.read, tokens)
    _keep_best(best, "read, cached", engine.read, tokens)
    _keep_best(best, "update", lambda token: update(token, changed), tokens)
    _keep_best(best, "delete", engine.delete, tokens)


def _keep_best(best: Best, operation: str, call: Callable[[Any], Any], arguments: list[Any]) -> list[Any]:
    started = time.perf_counter_ns()
    results = [call(argument) for argument in arguments]
    took = time.perf_counter_ns() - started
    assert all(results), f"{operation} did not do what it is timed for"
    best[operation] = min(took, best.get(operation, took))
    return results


@contextmanager
def opened() -> Iterator[tuple[Engine, Engine]]:
    """Open a store of ours and a floor, both empty."""
    with tempfile.TemporaryDirectory() as directory:
        place = Place(directory)
        ours, floor = open_store(place), open_floor(place)
        try:
            yield ours, floor
        finally:
            ours.close()
            floor.close()


def main() -> None:
    """Print the ratios as they are here."""
    with opened() as (ours, floor):
        for operation, ratio in ratios(ours, floor).items():
            print(f"{operation}: {ratio:.2f} times the floor, at most {allowed(operation):.2f}")


if __name__ == "__main__":
    main()
