"""Carry out one task in a process of its own, and print what came of it as JSON: ``python -m benchmarks.worker TASK``.

It runs in the environment of its peer, so it imports nothing but the standard library and what the task asks for.
"""

import json
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from benchmarks.payloads import PAYLOADS
from benchmarks.peers.interface import Engine, Place
from benchmarks.tasks.mix import run_mix
from benchmarks.tasks.on_servers import visit_servers
from benchmarks.tasks.threads import run_threads
from benchmarks.tasks.visits import VISITS, Visit


@dataclass(frozen=True)
class Task:
    """What this process is to do.

    Attributes:
        part: one of the visits, or ``hold`` to keep the store open, ``mix``, ``threads``, ``versions``, or what
            `upkeep` names.
        opens: the function that opens the peer, as ``module:function``.
        place: where, as `Place` has it.
        payload: bytes of the data.
        operations: how many of each kind.
        shuffle: take tokens in random order.
        limits: time limits and subjects as well.
        processor: count the processor time of the thread, not the time that passes.
        seconds: how long a mix lasts.
        threads: how many share the store.
        results: where a mix puts its samples.
        packages: whose versions to tell.

    """

    part: str
    opens: str = ""
    place: dict[str, Any] | None = None
    payload: int = 196
    operations: int = 0
    shuffle: bool = False
    limits: bool = False
    processor: bool = False
    seconds: float = 0.0
    threads: int = 1
    results: str = ""
    packages: tuple[str, ...] = ()


def versions(task: Task) -> dict[str, str]:
    """Return the versions of Python and of the packages that matter."""
    installed = {package.name: package.version for package in metadata.distributions()}
    return {"Python": sys.version.split()[0]} | {name: installed[name] for name in task.packages}


def hold() -> None:
    """Keep the store open until the input ends."""
    print("ready", flush=True)
    sys.stdin.read()


def work(engine: Engine, task: Task, place: Place) -> dict[str, float]:
    """Do one part on the open store; the workspace also holds the tokens from part to part."""
    data = PAYLOADS[task.payload]
    known = Path(place.workspace, "tokens")
    tokens = known.read_text().split() if known.exists() else []
    if task.part == "mix":
        run_mix(engine, tokens, data, task.seconds, Path(task.results))
        return {}
    if task.part == "threads":
        return run_threads(engine, data, task.threads, task.operations)
    clock = time.thread_time_ns if task.processor else time.perf_counter_ns
    visit = Visit(data, task.operations, shuffle=task.shuffle, limits=task.limits, clock=clock)
    costs, tokens = (VISITS | {"on servers": visit_servers})[task.part](engine, tokens, visit)
    known.write_text("\n".join(tokens))
    return costs


def carry_out(task: Task) -> Any:
    """Do the task and return its answer."""
    if task.part == "versions":
        return versions(task)
    place = Place(**(task.place or {}))
    engine: Engine = resolve_name(task.opens)(place)
    try:
        return hold() if task.part == "hold" else work(engine, task, place)
    finally:
        engine.close()


def main() -> None:
    """Do the task that the first argument holds as JSON; the answer is the last line printed."""
    print(json.dumps(carry_out(Task(**json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
