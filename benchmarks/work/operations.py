"""What one operation costs in one process, and beside another that has the store open.

A turn starts with an empty store. First visit: create tokens; read each once, then again, timed ("cached"); update
each; then the same with lifetimes, subjects and numbers of reads. Second visit, in a new process: read each token for
the first time ("not cached"); delete each.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial

from benchmarks.contestants import Contestant
from benchmarks.peers.catalogue import CRUDJT, ORIGINAL, PEERS, REDIS_UNIX, SQLITE
from benchmarks.peers.interface import Place
from benchmarks.rounds import Costs, Section, take_turns
from benchmarks.work.settings import Settings

PAYLOAD = 196


def visit_twice(
    contestant: Contestant, place: Place, operations: int, payload: int, *, shared: bool, shuffle: bool, limits: bool
) -> Costs:
    """Time every operation on one store, which another process has open throughout if it is shared."""
    costs: Costs = {}
    for part in ("first visit", "second visit"):
        with contestant.held(place) if shared else nullcontext(place) as seen:
            costs |= contestant.run(part, seen, operations=operations, payload=payload, shuffle=shuffle, limits=limits)
    return costs


def fresh_store_turn(
    contestant: Contestant,
    operations: int,
    payload: int,
    *,
    shared: bool = False,
    shuffle: bool = False,
    limits: bool = True,
    durable: bool = False,
) -> Costs:
    """Time every operation on a store made for this turn."""
    with contestant.turn(durable=durable) as place:
        return visit_twice(contestant, place, operations, payload, shared=shared, shuffle=shuffle, limits=limits)


def in_one_process(settings: Settings) -> Iterator[Section]:
    """Compare all peers, nobody else having the store open, with each payload."""
    for payload in settings.payloads:
        section = Section("operations", f"in one process, {payload} bytes", base=CRUDJT.name)
        turns = {
            contestant.peer.name: partial(
                fresh_store_turn, contestant, settings.operations, payload, shuffle=settings.shuffle
            )
            for contestant in settings.of(*PEERS)
            if payload <= contestant.peer.largest
        }
        yield take_turns(section, turns, settings.rounds)


def beside_another(settings: Settings) -> Iterator[Section]:
    """Compare with the original where another process has the store open: it has to be asked over gRPC then."""
    fewer = settings.remote_operations
    section = Section(
        "operations",
        f"from another process, {PAYLOAD} bytes (original: {fewer:,} operations over gRPC)",
        base=CRUDJT.name,
    )
    turns = {
        contestant.peer.name: partial(
            fresh_store_turn,
            contestant,
            fewer if contestant.peer is ORIGINAL else settings.operations,
            PAYLOAD,
            shared=True,
            shuffle=settings.shuffle,
            limits=False,
        )
        for contestant in settings.of(CRUDJT, ORIGINAL)
    }
    yield take_turns(section, turns, settings.rounds)


def durably(settings: Settings) -> Iterator[Section]:
    """Compare where an operation returns only once its change is on disk."""
    fewer = settings.remote_operations
    section = Section("durable", f"each change on disk before it returns, {PAYLOAD} bytes", base=CRUDJT.name)
    turns = {
        contestant.peer.name: partial(fresh_store_turn, contestant, fewer, PAYLOAD, durable=True)
        for contestant in settings.of(CRUDJT, REDIS_UNIX, SQLITE)
    }
    yield take_turns(section, turns, settings.rounds)
