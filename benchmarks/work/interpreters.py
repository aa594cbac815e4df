"""The same work under several interpreters in alternating rounds: operations in one process, requests to Starlette.

Operations are measured in processor time, which other programs disturb less than the time that passes.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.contestants import Contestant
from benchmarks.environments import Environment
from benchmarks.peers.catalogue import CRUDJT
from benchmarks.rounds import Costs, Section, take_turns
from benchmarks.sites import catalogue
from benchmarks.work.settings import Settings
from benchmarks.work.web import REQUESTS_TO_OPERATIONS, UNIT, in_process_turn


def under(pythons: Sequence[Path], pause_seconds: float) -> dict[str, Contestant]:
    """Return crudjt under each interpreter, by its path."""
    return {
        str(path): Contestant(
            replace(CRUDJT, name=str(path)), Environment((str(path.absolute()),), os.environ), pause_seconds
        )
        for path in pythons
    }


def _turn(contestant: Contestant, settings: Settings, payload: int) -> Costs:
    """Return the processor time of every operation on a store made for this turn."""
    costs: Costs = {}
    how = {"operations": settings.operations, "payload": payload, "shuffle": settings.shuffle}
    with contestant.turn() as place:
        for part in ("first visit", "second visit"):
            costs |= contestant.run(part, place, **how, limits=True, processor=True)
    return costs


def by_interpreter(settings: Settings) -> Iterator[Section]:
    """Compare the interpreters with the first of them."""
    base = next(iter(settings.contestants))
    for payload in settings.payloads:
        section = Section("interpreters", f"in one process, {payload} bytes, processor", base=base)
        turns = {name: partial(_turn, each, settings, payload) for name, each in settings.contestants.items()}
        yield take_turns(section, turns, settings.rounds)
    requests = max(1, settings.operations // REQUESTS_TO_OPERATIONS)
    framework = next(each for each in catalogue.FRAMEWORKS if each.name == "Starlette")
    web = {
        name: partial(
            in_process_turn, framework, catalogue.OURS, requests, 1, settings.pause_seconds, contestant.environment
        )
        for name, contestant in settings.contestants.items()
    }
    section = Section("interpreters", f"{framework.name}, in process, one at a time", unit=UNIT, base=base)
    yield take_turns(section, web, settings.rounds)
