"""Connect to the servers of a store, and read its manifest or make it."""

from typing import NamedTuple

from crudjt._backends.valkey.cluster_clock import ClusterClock
from crudjt._backends.valkey.connections import Connections
from crudjt._backends.valkey.inspection import Inspector
from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.manifest import open_manifest
from crudjt._backends.valkey.move_notes import is_destination
from crudjt._backends.valkey.settings import Settings
from crudjt._backends.valkey.steps.records import Records
from crudjt._backends.valkey.steps.sealed_records import Durability
from crudjt._backends.valkey.steps.upkeep import reach_primaries
from crudjt._backends.valkey.topology import Topology
from crudjt._core.clock import Clock, system_clock
from crudjt._core.moves import Arrival, Identity
from crudjt._core.operations import Sessions
from crudjt.errors import StoreCorrupt


class Connected(NamedTuple):
    """The parts of an open store.

    Attributes:
        connections: to the servers.
        records: the records there.
        replicas: how many have what is replicated.
        arrival: the move that made the store, if one has.

    """

    connections: Connections
    records: Records
    replicas: int
    arrival: Arrival | None


class _Reached(NamedTuple):
    connections: Connections
    replicas: int
    clock: Clock


def connect(settings: Settings, identity: Identity | None = None, *, leaving: bool = False) -> Connected:
    """Connect to the servers, and read the manifest or make it; `identity` and `leaving` are as for `open_manifest`."""
    servers, layout = settings.servers, Layout(settings.servers.namespace)

    def damaged(id_: bytes) -> StoreCorrupt:
        return StoreCorrupt(servers.location, None, f"the record of session {id_.hex()} is damaged")

    connections, replicas, clock = _reach(settings)
    try:
        durability = Durability(
            changes=0 if settings.durability == "interval" else replicas,
            endings=0 if settings.endings == "interval" else replicas,
        )
        opening = open_manifest(
            servers.location,
            layout,
            settings.secrets,
            durability.endings,
            create=settings.create,
            identity=identity,
            leaving=leaving,
        )
        keyring, placement, arrival = connections.run(opening, per_step=True)
    except BaseException:
        connections.close()
        raise
    sessions = Sessions(keyring, placement, damaged)
    records = Records(servers.location, layout, sessions, clock, durability)
    return Connected(connections, records, replicas, arrival)


def destination_exists(settings: Settings, identity: Identity) -> bool:
    """Tell whether the store that sessions are moved to exists; nothing is made. Raises as `is_destination` does."""
    connections, _, _ = _reach(settings)
    try:
        looking = is_destination(settings.servers.location, Layout(settings.servers.namespace), identity)
        return connections.run(looking, per_step=True)
    finally:
        connections.close()


def _reach(settings: Settings) -> _Reached:
    """Connect to the servers, which are checked."""
    servers = settings.servers
    topology = Topology(servers.nodes, clustered=servers.clustered)
    own_clock = ClusterClock() if settings.clock is system_clock else None
    inspector = Inspector(
        servers,
        topology,
        own_clock,
        replicas=0 if settings.endings == "interval" else settings.replicas,
        full=settings.endings == "full",
    )
    connections = Connections(servers, topology, inspector)
    try:
        connections.run(reach_primaries())
    except BaseException:
        connections.close()
        raise
    return _Reached(connections, inspector.replicas, own_clock or settings.clock)
