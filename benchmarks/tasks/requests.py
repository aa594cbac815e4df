"""Time requests to a web application in this process, and print what they cost as JSON.

A thousand browsers visit in turn. One request at a time: the median over blocks of a hundred. Many at once: all of it
divided by the requests. Both in elapsed time and in the processor time of this process.
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pkgutil import resolve_name
from typing import Any

from benchmarks.sites.interface import Setup
from benchmarks.tasks.callers import AsgiCaller, Jar, WsgiCaller

BROWSERS = 1000
BLOCK = 100
PROCESSOR = ", processor"


@dataclass(frozen=True)
class Task:
    """What is measured.

    Attributes:
        opens: the function that makes the application, as ``module:function``.
        asynchronous: whether it is an ASGI application.
        setup: of the application, as `Setup` has it.
        rows: name to path, in order.
        requests: of each row.
        together: how many at once.

    """

    opens: str
    asynchronous: bool
    setup: dict[str, Any]
    rows: dict[str, str]
    requests: int
    together: int


def measure(task: Task) -> dict[str, float]:
    """Return microseconds per request, by row."""
    app = resolve_name(task.opens)(Setup(**task.setup))
    caller = AsgiCaller(app) if task.asynchronous else WsgiCaller(app)
    jar: Jar = [b""] * min(BROWSERS, max(task.requests, task.together))
    everyone = list(range(len(jar)))
    caller.visit(jar, "/fill", everyone)
    gc.collect()
    gc.freeze()  # a collection would go through every object of the framework, in whichever block it falls
    costs: dict[str, float] = {}
    for row, path in task.rows.items():
        seen = [b""] * len(jar) if row == "anonymous" else jar
        caller.visit(seen, "/anonymous" if row == "anonymous" else "/read", everyone)  # so that all are warm
        wall, processor = (
            _one_at_a_time(caller, seen, path, task.requests)
            if task.together == 1
            else _at_once(caller, seen, path, task.requests, task.together)
        )
        costs |= {row: wall, row + PROCESSOR: processor}
    caller.close()
    return costs


def _one_at_a_time(caller: AsgiCaller | WsgiCaller, jar: Jar, path: str, requests: int) -> tuple[float, float]:
    browsers = cycle(range(len(jar)))
    blocks = [list(islice(browsers, BLOCK)) for _ in range(max(1, requests // BLOCK))]
    costs = [_timed(lambda block=block: caller.visit(jar, path, block), len(block)) for block in blocks]  # type: ignore[misc] # a default of a lambda
    return statistics.median(wall for wall, _ in costs), statistics.median(cpu for _, cpu in costs)


def _at_once(caller: AsgiCaller | WsgiCaller, jar: Jar, path: str, requests: int, together: int) -> tuple[float, float]:
    """Give each of those that ask at once browsers of its own: no two requests are of one session."""
    each = max(1, requests // together)
    shares = [list(islice(cycle(range(start, len(jar), together)), each)) for start in range(together)]
    return _timed(lambda: caller.visit_together(jar, path, shares), each * together)


def _timed(call: Callable[[], None], requests: int) -> tuple[float, float]:
    started, ran = time.perf_counter_ns(), time.process_time_ns()
    call()
    wall, cpu = time.perf_counter_ns() - started, time.process_time_ns() - ran
    return wall / 1000 / requests, cpu / 1000 / requests


if __name__ == "__main__":
    print(json.dumps(measure(Task(**json.loads(sys.argv[1])))))
