"""Both masters over gRPC: one client, one request after the other, and 16 at once.

First the same bare client speaks the original's protocol with each, and with a master that does nothing (`gRPC
alone`): no server in Python's gRPC can be faster with this client. Then each has its own client, as who uses it has:
`CRUDJT` of the original, a remote store of ours. The figure is elapsed time divided by operations, so that for 16 the
quotient of two figures is that of the throughputs. Ours is `crudjt serve` with two workers, and so is the master that
does nothing.
"""

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial

from benchmarks import processes
from benchmarks.contestants import Contestant
from benchmarks.environments import OURS, Environment
from benchmarks.peers.catalogue import CRUDJT, ORIGINAL
from benchmarks.peers.interface import Place
from benchmarks.rounds import Costs, Section, take_turns
from benchmarks.work.settings import Settings

CLIENTS = (1, 16)
ALONE = "gRPC alone"
PAYLOAD = 196

_AS_OURS = {"GRPC_EXPERIMENTS": "-event_engine_listener"}  # of `crudjt serve`


def master(contestant: Contestant, place: Place) -> AbstractContextManager[object]:
    """Serve a new store beside a block."""
    if contestant.peer is ORIGINAL:
        return contestant.attended("hold", place)
    return processes.crudjt_server(place.workspace, place.port)


def bare_turn(contestant: Contestant, operations: int, clients: int) -> Costs:
    """Time bare clients of a master."""
    with contestant.turn() as place, master(contestant, place):
        return bare_clients(place.port, operations, clients)


def alone_turn(operations: int, clients: int) -> Costs:
    """Time bare clients of a master that does nothing."""
    port = str(processes.free_port())
    environment = Environment(OURS.python, {**os.environ, **_AS_OURS})
    with ExitStack() as stack:
        for _ in range(processes.GRPC_WORKERS):
            stack.enter_context(processes.attended(environment, "benchmarks.tasks.empty_master", port))
        return bare_clients(int(port), operations, clients)


def bare_clients(port: int, operations: int, clients: int) -> Costs:
    """Time clients of whatever listens on a port."""
    task = {"port": port, "clients": clients, "operations": operations}
    return processes.run(OURS, "benchmarks.tasks.grpc_clients", json.dumps(task))


def own_turn(contestant: Contestant, operations: int, threads: int) -> Costs:
    """Time threads of one process that share the client which belongs to the master."""
    with contestant.turn() as place, master(contestant, place):
        there = replace(place, remote=True, served=True)
        return contestant.run("threads", there, payload=PAYLOAD, operations=operations, threads=threads)


def over_grpc(settings: Settings) -> Iterator[Section]:
    """Compare the masters, for one client and for many."""
    contestants = list(settings.of(CRUDJT, ORIGINAL))
    for clients in CLIENTS:
        operations = max(clients, settings.remote_operations)
        title = "over gRPC, one bare client" if clients == 1 else f"over gRPC, {clients} bare clients at once"
        turns = {each.peer.name: partial(bare_turn, each, operations, clients) for each in contestants}
        turns[ALONE] = partial(alone_turn, operations, clients)
        yield take_turns(Section("grpc", title, base=CRUDJT.name), turns, settings.rounds)
    for threads in CLIENTS:
        operations = max(threads, settings.remote_operations)
        title = "one thread" if threads == 1 else f"{threads} threads of a process"
        owned = {each.peer.name: partial(own_turn, each, operations, threads) for each in contestants}
        section = Section("grpc", f"over gRPC, each with its own client, {title}", base=CRUDJT.name)
        yield take_turns(section, owned, settings.rounds)
