"""What an operation costs where sessions are kept on servers: on one, and on a cluster of three with a replica each.

All of it on this machine, so client and servers share its processors. Nothing is measured about more primaries: that
takes more machines.
"""

from collections.abc import Iterator
from functools import partial

from valkey import Valkey

from benchmarks.contestants import Contestant
from benchmarks.peers.catalogue import ON_SERVERS, PEERS_ON_SERVERS
from benchmarks.peers.interface import Place
from benchmarks.rounds import Costs, Section, take_turns
from benchmarks.work.settings import Settings

PAYLOAD = 196
KINDS = {False: "one Valkey server", True: "a Valkey cluster of three primaries and three replicas"}


def on_servers_turn(contestant: Contestant, operations: int, *, clustered: bool) -> Costs:
    """Time every operation on servers that were started for this turn."""
    with contestant.turn(clustered=clustered) as place:
        return contestant.run("on servers", place, operations=operations, payload=PAYLOAD)


def memory_turn(contestant: Contestant, operations: int) -> Costs:
    """Return the memory that each of many sessions takes on one server."""
    with contestant.turn() as place:
        contestant.run("fill", place, operations=operations, payload=PAYLOAD)  # scripts and buffers are there now
        before = used_memory(place)
        contestant.run("fill", place, operations=operations, payload=PAYLOAD)
        return {"bytes a session": (used_memory(place) - before) / operations}


def used_memory(place: Place) -> int:
    """Return the bytes that the server of a turn has in use."""
    with Valkey(port=place.port) as client:
        return int(client.info("memory")["used_memory"])


def on_servers(settings: Settings) -> Iterator[Section]:
    """Compare with sessions as people write them, and with the commands alone."""
    operations = settings.remote_operations
    for clustered, kind in KINDS.items():
        section = Section("cluster", f"{kind}, {PAYLOAD} bytes", base=ON_SERVERS.name)
        turns = {
            contestant.peer.name: partial(on_servers_turn, contestant, operations, clustered=clustered)
            for contestant in settings.of(*PEERS_ON_SERVERS)
        }
        yield take_turns(section, turns, settings.rounds)
    section = Section("cluster", f"memory of a session of {PAYLOAD} bytes on one server", unit="", base=ON_SERVERS.name)
    turns = {
        contestant.peer.name: partial(memory_turn, contestant, settings.operations)
        for contestant in settings.of(*PEERS_ON_SERVERS)
    }
    yield take_turns(section, turns, 1)
