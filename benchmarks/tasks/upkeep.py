"""What a store of crudjt costs besides its operations: opening, memory, disk, compaction and sweep.

Each task runs in a process of its own: ``python -m benchmarks.tasks.upkeep NAME PARAMETERS``.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crudjt
from benchmarks.keys import SECRET_KEY
from benchmarks.payloads import PAYLOADS
from crudjt._backends.embedded.engine import compaction

MOMENT = 0.001
_TOKEN_BYTES = 23  # with the end of its line

Answer = dict[str, float]


def _opened(workspace: str) -> crudjt.Store:
    return crudjt.open(Path(workspace, "store"), secret_key=SECRET_KEY)


def some_tokens(workspace: str, count: int) -> list[str]:
    """Return random tokens of a store without loading all."""
    path = Path(workspace, "tokens")
    known = (path.stat().st_size + 1) // _TOKEN_BYTES
    with path.open("rb") as file:
        tokens = list[str]()
        for number in random.sample(range(known), min(count, known)):
            file.seek(number * _TOKEN_BYTES)
            tokens.append(file.read(_TOKEN_BYTES - 1).decode())
    return tokens


def open_once(workspace: str) -> Answer:
    """Time an opening, and the first read after it, in seconds."""
    (token,) = some_tokens(workspace, 1)
    started = time.perf_counter()
    store = _opened(workspace)
    opened = time.perf_counter()
    assert store.read(token)
    answer = {"open": opened - started, "first read": time.perf_counter() - opened}
    store.close()
    return answer


def listing(workspace: str) -> Answer:
    """Time what an operator asks for, in seconds: the first page, a page of 1,000, and a count."""
    with _opened(workspace) as store:
        started = time.perf_counter()
        page = store.list()
        first = time.perf_counter()
        assert page.next is None or store.list(limit=1000, after=page.next)
        second = time.perf_counter()
        assert store.count()
        return {"first": first - started, "second": second - first, "count": time.perf_counter() - second}


def reopen_after_boot(workspace: str) -> Answer:
    """Time an opening that makes the view again, as after a boot: a view that is gone asks for the same work."""
    for path in Path(workspace, "store", "view").iterdir():
        path.unlink()
    answer = open_once(workspace)
    sweep(workspace, 0)  # the upkeep thread does it after a boot, and would do it in what is measured next
    return answer


def compact(workspace: str) -> Answer:
    """Compact now; return from when to when it ran, in nanoseconds of a clock that all processes share."""
    with _opened(workspace) as store:
        embedded: Any = store
        engine = embedded._engine  # noqa: SLF001 - the upkeep thread does it when it is due; no public call asks for it
        started = time.perf_counter_ns()
        while not compaction.compact(engine, time.time_ns() // 10**6):
            time.sleep(MOMENT)  # another process is at maintenance
            started = time.perf_counter_ns()
        return {"from": started, "to": time.perf_counter_ns()}


def expire(workspace: str, count: int, payload: int) -> Answer:
    """Add sessions that have ended by the time this returns."""
    with _opened(workspace) as store:
        for _ in range(count):
            store.create(PAYLOADS[payload], MOMENT)
        time.sleep(MOMENT)
    return {}


def sweep(workspace: str, count: int) -> Answer:
    """Sweep now; return when it ran, as `compact` does."""
    with _opened(workspace) as store:
        started = time.perf_counter_ns()
        swept = store.sweep()
        ended = time.perf_counter_ns()
        assert swept == count, f"{swept:,} sessions were swept, not {count:,}"
        return {"from": started, "to": ended}


def memory(workspace: str, count: int) -> Answer:
    """Return the memory of a process that has read many tokens, in bytes: its own, and pages shared with all others."""
    tokens = some_tokens(workspace, count)
    with _opened(workspace) as store:
        for token in tokens:
            assert store.read(token)
        status = Path("/proc/self/status").read_text()
    kib = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in status.splitlines())
           if name in {"RssAnon", "RssFile", "RssShmem"}}  # fmt: skip
    return {"own": kib["RssAnon"] * 1024, "shared": (kib["RssFile"] + kib["RssShmem"]) * 1024}


def disk(workspace: str) -> Answer:
    """Return the bytes on disk, and the sessions they are for."""
    with _opened(workspace) as store:
        sessions = store.stats().sessions
    files = [path for path in Path(workspace, "store").rglob("*") if path.is_file()]
    return {"bytes": sum(path.stat().st_blocks * 512 for path in files), "sessions": sessions}


TASKS: dict[str, Callable[..., Answer]] = {
    task.__name__: task for task in (open_once, listing, reopen_after_boot, compact, expire, sweep, memory, disk)
}


if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](**json.loads(sys.argv[2]))))
