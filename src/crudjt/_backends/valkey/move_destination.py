"""A store on servers that sessions are moved to."""

from collections.abc import Mapping
from dataclasses import replace

from crudjt._backends.valkey.connecting import Connected, connect
from crudjt._backends.valkey.move_notes import finish_arrival
from crudjt._backends.valkey.operations import Operations
from crudjt._backends.valkey.settings import Settings
from crudjt._backends.valkey.steps import arriving
from crudjt._backends.valkey.store import ValkeyStore
from crudjt._core.moves import Identity
from crudjt._core.stages import Staged
from crudjt.base import Store


def open_destination_on_servers(settings: Settings, identity: Identity) -> "ValkeyDestination":
    """Connect to the servers and open the store there, or make it for the move."""
    return ValkeyDestination(connect(replace(settings, create=True), identity), settings)


class ValkeyDestination:
    """The store that sessions are moved to."""

    def __init__(self, connected: Connected, settings: Settings) -> None:
        """Take the parts of the store, which was made for a move."""
        assert connected.arrival is not None, "a destination was made for a move"
        self.replicas = connected.replicas
        self.move = bytes.fromhex(connected.arrival.move)
        self.has_finished = connected.arrival.finished
        self._records = connected.records
        self._run = connected.connections.run
        operations = Operations(connected.records, settings.max_data_bytes)
        self.store: Store = ValkeyStore(connected.connections, operations, settings)

    def publish(self, marks: Mapping[bytes, bytes], *, replicated: bool = False) -> None:
        """Publish sessions whose marks were met; with `replicated`, on all replicas."""
        replicas = self.replicas if replicated else self._records.durability.changes
        self._run(arriving.publish(self._records, marks, replicas))

    def stage(self, epoch: int, records: Mapping[bytes, bytes]) -> list[Staged]:
        """Stage records on all replicas; return the answer to each. A `StoreUnavailable` requires a new epoch."""
        return self._run(arriving.stage(self._records, epoch, records, self.replicas))

    def finish(self) -> None:
        """Note that all sessions have come, and remove the stages that were not used."""
        self._run(finish_arrival(self._records.location, self._records.layout, self.replicas), per_step=True)
        self._run(arriving.remove_stages(self._records), per_step=True)
        self.has_finished = True
