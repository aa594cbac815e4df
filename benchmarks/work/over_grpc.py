"""Both masters over gRPC: the same bare client speaks the original's protocol with each.

One client, one request after the other, and 16 clients at once. The figure is elapsed time divided by operations, so
that for 16 clients the quotient of two figures is that of the throughputs. Ours is `crudjt serve` with two workers.
"""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial

from benchmarks import processes
from benchmarks.contestants import Contestant
from benchmarks.environments import OURS
from benchmarks.peers.catalogue import CRUDJT, ORIGINAL
from benchmarks.rounds import Costs, Section, take_turns
from benchmarks.work.settings import Settings

CLIENTS = (1, 16)


def grpc_turn(contestant: Contestant, operations: int, clients: int) -> Costs:
    """Time clients of a master with a new store."""
    with contestant.turn() as place:
        master: AbstractContextManager[object]
        if contestant.peer is ORIGINAL:
            master = contestant.attended("hold", place)
        else:
            master = processes.crudjt_server(place.workspace, place.port)
        with master:
            task = {"port": place.port, "clients": clients, "operations": operations}
            return processes.run(OURS, "benchmarks.tasks.grpc_clients", json.dumps(task))


def over_grpc(settings: Settings) -> Iterator[Section]:
    """Compare the masters, for one client and for many."""
    for clients in CLIENTS:
        title = "over gRPC, one client" if clients == 1 else f"over gRPC, {clients} clients at once"
        turns = {
            contestant.peer.name: partial(grpc_turn, contestant, max(clients, settings.remote_operations), clients)
            for contestant in settings.of(CRUDJT, ORIGINAL)
        }
        yield take_turns(Section("grpc", title, base=CRUDJT.name), turns, settings.rounds)
