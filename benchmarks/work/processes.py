"""Several processes at once on one store: nine reads to one write."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.contestants import Contestant
from benchmarks.latencies import merged, percentiles
from benchmarks.peers.catalogue import CRUDJT, ORIGINAL, PEERS
from benchmarks.rounds import Costs, Section, take_turns
from benchmarks.work.settings import Settings

PROCESSES = (2, 4)
PAYLOAD = 196


def mix_turn(contestant: Contestant, processes: int, tokens: int, seconds: float) -> Costs:
    """Measure throughput and latency of a mix on a store made for this turn."""
    with contestant.turn() as place, ExitStack() as stack:
        contestant.run("fill", place, operations=tokens, payload=PAYLOAD)
        shared = stack.enter_context(contestant.held(place)) if contestant.peer is ORIGINAL else place
        results = [Path(place.workspace, f"samples-{number}") for number in range(processes)]
        attendants = [
            stack.enter_context(contestant.attended("mix", shared, payload=PAYLOAD, seconds=seconds, results=str(path)))
            for path in results
        ]
        for attendant in attendants:
            attendant.go()
        for attendant in attendants:
            attendant.finish()
        reads = merged(path.with_suffix(".reads") for path in results)
        writes = merged(path.with_suffix(".writes") for path in results)
        throughput = {"operations a second": (len(reads) + len(writes)) / seconds}
        return throughput | percentiles("read", reads) | percentiles("write", writes)


def at_once(settings: Settings) -> Iterator[Section]:
    """Compare the peers that several processes can share."""
    for processes in PROCESSES:
        section = Section(
            "processes", f"{processes} processes at once, 90% reads, {PAYLOAD} bytes", unit="", base=CRUDJT.name
        )
        turns = {
            contestant.peer.name: partial(
                mix_turn,
                contestant,
                processes,
                settings.remote_operations if contestant.peer is ORIGINAL else settings.operations,
                settings.seconds,
            )
            for contestant in settings.of(*PEERS)
            if contestant.peer.across
        }
        yield take_turns(section, turns, settings.rounds)
