"""A store in a directory that sessions are moved to."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from crudjt._backends.embedded.engine import backup, manifest, moving
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.manifest import MANIFEST_FORMAT, Manifest
from crudjt._backends.embedded.location import Embedded
from crudjt._backends.embedded.store import EmbeddedStore
from crudjt._core import stages
from crudjt._core.changes import SESSION
from crudjt._core.moves import LATEST_ID, NO_EPOCH, Arrival, Identity
from crudjt._core.stages import FIRST_STAGE_ID, Staged, is_of_a_mover
from crudjt.base import Store
from crudjt.errors import StoreInaccessible

_BATCH = 500


def destination_exists(directory: Path, identity: Identity) -> bool:
    """Tell whether the store of a move exists; nothing is made.

    Raises:
        StoreInaccessible: there is another store, or something else.

    """
    return _arrival(directory, identity) is not None


def open_destination_in_directory(parsed: Embedded, identity: Identity) -> "EmbeddedDestination":
    """Open the store in a directory, or make it for the move."""
    arrival = _arrival(parsed.directory, identity) or _make(parsed.directory, identity)
    return EmbeddedDestination(_Arriving(parsed.directory, parsed.secrets, parsed.options), arrival)


def _make(directory: Path, identity: Identity) -> Arrival:
    arrival = Arrival.begun()
    try:
        backup.write_store(directory, identity, (), arrival)
    except StoreInaccessible:
        made = _arrival(directory, identity)  # by another process, just now
        if made is None:
            raise
        return made
    return arrival


def _arrival(directory: Path, identity: Identity) -> Arrival | None:
    """Return the move that has made the store in a directory; ``None`` if there is nothing."""
    try:
        if not any(directory.iterdir()):
            return None
        found = manifest.load(directory)
    except FileNotFoundError as error:
        if error.filename == str(directory):
            return None
        raise StoreInaccessible(directory, "it holds other files; move to a new or an empty directory") from None
    except OSError as error:
        raise StoreInaccessible(directory, f"cannot be used: {error.strerror}") from error
    if found.salt != identity.salt:
        raise StoreInaccessible(directory, "it is another store, with sessions of its own; move to a new directory")
    if found.arrival is None:
        raise StoreInaccessible(
            directory, "it was made with the same salt, but not for a move; move to a new directory"
        )
    return found.arrival


class _Arriving(EmbeddedStore):
    """A store that may be opened before all sessions have come. It finds no stage: their ids are of no session."""

    def _refuse_moves(self, engine: Engine) -> None:
        engine.refuse_move()

    @property
    def engine(self) -> Engine:
        """The engine."""
        return self._engine

    def stage(self, epoch: int, records: Mapping[bytes, bytes]) -> list[Staged]:
        """Stage records on disk."""
        return self._engine.write(stages.stage_all, (epoch, records, self._now_ms()), durable=True)


class EmbeddedDestination:
    """The store that sessions are moved to."""

    replicas = None

    def __init__(self, store: _Arriving, arrival: Arrival) -> None:
        """Take the store, which was made for a move."""
        self.store: Store = store
        self.move = bytes.fromhex(arrival.move)
        self.has_finished = arrival.finished
        self._arriving = store

    def publish(self, marks: Mapping[bytes, bytes], *, replicated: bool = False) -> None:
        """Publish sessions whose marks were met; with `replicated`, on disk."""
        durable = replicated or bool(self.store.durable)
        self._arriving.engine.write(stages.publish_all, (marks,), durable=durable)

    def stage(self, epoch: int, records: Mapping[bytes, bytes]) -> list[Staged]:
        """Stage records on disk; return the answer to each."""
        arrival = manifest.load(self._arriving.engine.directory).arrival
        if epoch != NO_EPOCH and (arrival is None or arrival.finished):  # this mover was thought dead
            return [Staged.LATER] * len(records)
        return self._arriving.stage(epoch, records)

    def finish(self) -> None:
        """Note that all sessions have come, and remove what is left of the move."""
        engine = self._arriving.engine
        moving.change_manifest(engine, _finished)
        start = SESSION + FIRST_STAGE_ID
        while items := engine.scan(SESSION, start, _BATCH):
            start = items[-1][0] + b"\0"
            engine.write(stages.remove_stages, ([key[len(SESSION) :] for key, stage in items if is_of_a_mover(stage)],))
        engine.write(stages.remove_stages, ([LATEST_ID],))
        self.has_finished = True


def _finished(found: Manifest) -> Manifest:
    assert found.arrival is not None, "it was made for a move"
    arrival = msgspec.structs.replace(found.arrival, finished=True)
    return msgspec.structs.replace(found, format=MANIFEST_FORMAT, arrival=arrival)
