"""What a session costs a web request: in the process of the application, and over gunicorn or uvicorn.

Each turn has a new process, an empty store, and a Redis of its own where that is asked. The rows: a request without a
session; one that reads a key; one that changes a key; one that logs in; and one that reads a key of a session with an
idle timeout.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

from benchmarks import processes
from benchmarks.environments import OURS, Environment
from benchmarks.rounds import Costs, Section, take_turns
from benchmarks.sites import catalogue
from benchmarks.sites.catalogue import SESSIONS, Framework
from benchmarks.sites.interface import VARIABLE, Setup
from benchmarks.work.settings import Settings

TOGETHER = (1, 32)
BROWSERS = 32
WORKERS = 2
UNIT = "µs per request"
REQUESTS_TO_OPERATIONS = 20  # a request costs so many times as much as an operation
PARTS_OF_A_MIX = 5  # rows that share the time of a mix

_ROWS = {name: f"/{name}" for name in ("anonymous", "read", "write", "login")}
_IDLE_ROWS = {"idle": "/read"}


@contextmanager
def prepared(framework: Framework, sessions: str, *, idle: bool) -> Iterator[dict[str, Any]]:
    """Provide an empty place for sessions, with Redis where it is asked; yields the parameters that open the site."""
    with processes.workspace() as workspace:
        opens = {"opens": framework.opens, "setup": asdict(Setup(sessions, workspace, idle))}
        if sessions != catalogue.REDIS:
            yield opens
            return
        with processes.redis(workspace, processes.free_port(), durable=False):
            yield opens


def in_process_turn(
    framework: Framework, sessions: str, requests: int, together: int, pause: float, environment: Environment = OURS
) -> Costs:
    """Time the requests of each row in a new process, and those with an idle timeout in another."""
    costs: Costs = {}
    for rows, idle in ((_ROWS, False), (_IDLE_ROWS, True)):
        time.sleep(pause)
        with prepared(framework, sessions, idle=idle) as opens:
            task = {"asynchronous": framework.asynchronous, "rows": rows, "requests": requests, "together": together}
            costs |= processes.run(environment, "benchmarks.tasks.requests", json.dumps(opens | task))
    return costs


def served_turn(framework: Framework, sessions: str, browsers: int, seconds: float, pause: float) -> Costs:
    """Time the requests of browsers over a server with two workers, and those with an idle timeout over another."""
    costs: Costs = {}
    for rows, idle in ((_ROWS, False), (_IDLE_ROWS, True)):
        time.sleep(pause)
        port = processes.free_port()
        with (
            prepared(framework, sessions, idle=idle) as opens,
            processes.web_server(_command(framework, port), port, {VARIABLE: json.dumps(opens)}),
        ):
            task = {"port": port, "browsers": browsers, "seconds": seconds, "rows": rows}
            costs |= processes.run(OURS, "benchmarks.tasks.http_browsers", json.dumps(task))
    return costs


def _command(framework: Framework, port: int) -> list[str]:
    application, workers = "benchmarks.sites.serve:application", ["--workers", str(WORKERS)]
    if framework.asynchronous:
        options = ["--port", str(port), "--log-level", "warning", "--no-access-log", "--proxy-headers"]
        return OURS.command("uvicorn", *workers, *options, application)
    options = ["--bind", f"127.0.0.1:{port}", "--log-level", "warning", "--no-control-socket", "--keep-alive", "60"]
    options += ["--worker-class", "gthread", "--threads", str(BROWSERS)]
    return OURS.command("gunicorn", *workers, *options, application)


def over_the_web(settings: Settings) -> Iterator[Section]:
    """Compare the sessions of each framework, for one request at a time and for many."""
    requests = max(1, settings.operations // REQUESTS_TO_OPERATIONS)
    seconds = settings.seconds / PARTS_OF_A_MIX
    for framework in settings.frameworks:
        columns = [each for each in SESSIONS if each != catalogue.REDIS or processes.redis_server()]
        for together in TOGETHER:
            title = "one at a time" if together == 1 else f"{together} at once"
            turns = {
                framework.column(each): partial(
                    in_process_turn, framework, each, requests, together, settings.pause_seconds
                )
                for each in columns
            }
            section = Section("web", f"{framework.name}, in process, {title}", unit=UNIT, base=catalogue.OURS)
            yield take_turns(section, turns, settings.rounds)
        server = "uvicorn" if framework.asynchronous else "gunicorn"
        turns = {
            framework.column(each): partial(served_turn, framework, each, BROWSERS, seconds, settings.pause_seconds)
            for each in columns
        }
        section = Section("web", f"{framework.name}, {BROWSERS} browsers over {server}", unit="", base=catalogue.OURS)
        yield take_turns(section, turns, settings.rounds)
