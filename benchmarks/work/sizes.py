"""How crudjt does with many tokens: operations, memory, disk, opening, and what upkeep does to work beside it.

Each store is filled once; the turns of operations leave as many tokens as they find, chosen at random. The sessions are
of 256 bytes, as the original's authors measure theirs.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.contestants import Contestant
from benchmarks.environments import OURS
from benchmarks.latencies import merged, percentiles
from benchmarks.peers.catalogue import CRUDJT
from benchmarks.peers.interface import Place
from benchmarks.rounds import Costs, Section, say, take_turns
from benchmarks.work.operations import visit_twice
from benchmarks.work.settings import Settings

PAYLOAD = 256
MOST_EXPIRED = 1_000_000
_LOAD_SECONDS = 600.0
_QUIET_SECONDS = 2.0


def upkeep(task: str, place: Place, **parameters: Any) -> dict[str, Any]:
    """Run a task of `tasks/upkeep.py` on a store."""
    return processes.run(OURS, "benchmarks.tasks.upkeep", task, json.dumps({"workspace": place.workspace} | parameters))


def by_size(settings: Settings) -> Iterator[Section]:
    """Measure stores of every size that was asked for."""
    ours = settings.contestants[CRUDJT.name]
    with ExitStack() as stack:
        places: dict[int, Place] = {}
        for size in settings.sizes:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix=processes.PREFIX))
            places[size] = Place(directory)
            say(f"filling a store with {size:,} tokens")
            ours.run("fill", places[size], operations=size, payload=PAYLOAD)
        os.sync()  # else the kernel writes them for minutes, and takes half of what the machine can do
        operations = min(settings.operations, *settings.sizes)
        yield take_turns(
            Section("sizes", f"crudjt by size of the store, random order, {PAYLOAD} bytes", base=_name(min(places))),
            {
                _name(size): partial(
                    visit_twice, ours, place, operations, PAYLOAD, shared=False, shuffle=True, limits=False
                )
                for size, place in places.items()
            },
            settings.rounds,
        )
        yield take_turns(
            Section("sizes", "space and opening", unit=""),
            {_name(size): partial(_space_and_opening, place, operations) for size, place in places.items()},
            settings.rounds,
        )
        for size, place in places.items():
            yield take_turns(
                Section("sizes", f"work beside upkeep, {_name(size)}", unit=""),
                {
                    "compaction": partial(_beside, ours, place, "compact"),
                    "sweep": partial(_beside_sweep, ours, place, min(size, MOST_EXPIRED)),
                },
                settings.rounds,
            )


def _name(size: int) -> str:
    return f"{size:,} tokens"


def _space_and_opening(place: Place, operations: int) -> Costs:
    """Measure a store whose log is long, then compacted."""
    rebuilt_from_log = upkeep("reopen_after_boot", place)
    compacted = upkeep("compact", place)
    on_disk = upkeep("disk", place)
    memory = {count: upkeep("memory", place, count=count) for count in (1, operations)}
    rebuilt_from_base = upkeep("reopen_after_boot", place)
    opened = upkeep("open_once", place)
    listed = upkeep("listing", place)
    return {
        "open, ms": opened["open"] * 1e3,
        "first read, ms": opened["first read"] * 1e3,
        "first page of a listing, ms": listed["first"] * 1e3,
        "next page, of 1,000, ms": listed["second"] * 1e3,
        "count of live sessions, s": listed["count"],
        "open after a boot, log only, s": rebuilt_from_log["open"],
        "open after a boot, compacted, s": rebuilt_from_base["open"],
        "compaction, s": (compacted["to"] - compacted["from"]) / 1e9,
        "disk after compaction, bytes per token": on_disk["bytes"] / on_disk["sessions"],
        "memory of a process after 1 read, MB": memory[1]["own"] / 1e6,
        f"memory of a process after {operations:,} reads, MB": memory[operations]["own"] / 1e6,
        f"pages shared by all after {operations:,} reads, MB": memory[operations]["shared"] / 1e6,
    }


def _beside_sweep(ours: Contestant, place: Place, expired: int) -> Costs:
    upkeep("expire", place, count=expired, payload=PAYLOAD)
    return {"expired sessions": float(expired)} | _beside(ours, place, "sweep", count=expired)


def _beside(ours: Contestant, place: Place, task: str, **parameters: Any) -> Costs:
    """Run a task while another process works, and tell apart what the work met before and during it."""
    with tempfile.TemporaryDirectory(prefix=processes.PREFIX) as directory:
        results = Path(directory, "samples")
        load = ours.attended("mix", place, payload=PAYLOAD, seconds=_LOAD_SECONDS, results=str(results))
        with load as attendant:
            attendant.go()
            time.sleep(_QUIET_SECONDS)
            span = upkeep(task, place, **parameters)
            attendant.stop()
        costs: Costs = {"duration, s": (span["to"] - span["from"]) / 1e9}
        for kind in ("read", "write"):
            path = results.with_suffix(f".{kind}s")
            for when, took in (
                ("before", merged([path], 0, span["from"])),
                ("during", merged([path], span["from"], span["to"])),
            ):
                costs |= percentiles(f"{kind} {when}", took)
        return costs
