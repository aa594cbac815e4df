"""A store on servers whose sessions are being moved, or may be."""

from collections.abc import Iterable, Mapping
from typing import Any

from crudjt._backends.valkey.connecting import Connected, connect
from crudjt._backends.valkey.manifest import Manifest, read_manifest
from crudjt._backends.valkey.operations import Operations
from crudjt._backends.valkey.settings import Settings
from crudjt._backends.valkey.steps import leaving, listing
from crudjt._backends.valkey.steps.leaving import LeavingRecords, Pass, PassingRecords
from crudjt._backends.valkey.store import ValkeyStore
from crudjt._core.codec import pack
from crudjt._core.details import Client, changed_details
from crudjt._core.labels import Named
from crudjt._core.listing import Listing, Page
from crudjt._core.moves import Identity, Looked, Marked, Note, Rotation, RotationRefused
from crudjt._core.session import Session
from crudjt._core.validation import KEEP, Duration, KeepType, WhenFull, changed_limits, checked_subject
from crudjt.errors import StoreMoved


def open_source_on_servers(settings: Settings) -> "ValkeySource":
    """Connect to the servers and open the store that sessions are moved from, or make it."""
    return ValkeySource(connect(settings, leaving=True), settings)


class ValkeySource(ValkeyStore):
    """The store that sessions are moved from.

    A call that meets the mark of a session raises `Marked`, or if it is about many tokens, takes it for none. A call
    that makes sessions raises `StoreMoved` once the move has begun, and a rotation `RotationRefused`.
    """

    def __init__(self, connected: Connected, settings: Settings) -> None:
        """Take the parts of the store."""
        of = connected.records
        self._records = LeavingRecords(of.location, of.layout, of.sessions, of.clock, of.durability)
        self.replicas = connected.replicas
        self._begun = False
        super().__init__(connected.connections, Operations(self._records, settings.max_data_bytes), settings)

    @property
    def store(self) -> "ValkeySource":
        """The calls."""
        return self

    def rotate(
        self,
        token: str,
        *,
        data: dict[Any, Any] | None = None,
        subject: str | KeepType | None = KEEP,
        ttl: Duration | KeepType | None = KEEP,
        idle: Duration | KeepType | None = KEEP,
        if_version: int | None = None,
        max_sessions: int | None = None,
        when_full: WhenFull = "end_oldest",
        client: Client | KeepType | None = KEEP,
        bound_to: str | KeepType | None = KEEP,
        labels: Iterable[str] | KeepType = KEEP,
    ) -> str | None:
        changes: dict[str, Any] = {"data": data, "subject": subject, "ttl": ttl, "idle": idle, "if_version": if_version}
        changes.update(client=client, bound_to=bound_to, labels=labels)
        if not self._begun:
            try:
                return super().rotate(token, **changes, max_sessions=max_sessions, when_full=when_full)
            except StoreMoved:
                self._begun = True
            except Marked:  # of this session, or where there is a limit, of another one
                if max_sessions is None:
                    raise
                self._begun = True
        packed = None if data is None else pack(data, self.max_data_bytes)
        limits, details = changed_limits(ttl, idle, KEEP), changed_details(client, bound_to, labels)
        wanted = self._run(leaving.rotation(self._records, token, packed, subject, limits, if_version, details))
        if wanted is None:
            return None

        def swap() -> bool:
            return self._run(leaving.swap(self._records, wanted))

        raise RotationRefused(Rotation(wanted.token, *wanted.new[1:], wanted.old, swap))

    def read_many(self, tokens: Iterable[str]) -> list[Session | None]:
        return self._run_long(self._passing().read_many(tokens))

    def delete_many(self, tokens: Iterable[str]) -> int:
        return self._run_long(self._passing().delete_many(tokens))

    def sweep(self) -> int:
        return self._run_long(self._passing().sweep())

    def _passing(self) -> Operations:
        return Operations(PassingRecords(self._records), self.max_data_bytes)

    # The move

    @property
    def identity(self) -> Identity:
        """The facts that the destination must share with the store."""
        return self._manifest().identity

    @property
    def has_begun(self) -> bool:
        """Ask whether the move may have begun. It has not as long as this is False."""
        if not self._begun:
            self._begun = self._manifest().departure is not None
        return self._begun

    @property
    def note(self) -> Note | None:
        """The note of the move that has begun."""
        departure = self._manifest().departure
        if departure is None:
            return None
        return Note(departure.epoch, bytes.fromhex(departure.move), departure.location)

    def _manifest(self) -> Manifest:
        return self._run(read_manifest(self._records.location, self._records.layout))

    def begin(self, move: bytes, location: str) -> int:
        """Begin the move, or take it over; return the epoch. Raises `OtherMove` if another has begun."""
        clustered = self._settings.servers.clustered
        beginning = leaving.begin(self._records, move, location, self.replicas, clustered=clustered)
        return self._run_long(beginning)

    def look(self, at: object | None, limit: int) -> Looked:
        """Return up to `limit` ids with their records and marks, in no order."""
        going = at if isinstance(at, Pass) else Pass(self._records.layout, clustered=self._settings.servers.clustered)
        return self._run_long(going.look(limit))

    def is_placed(self, id_: bytes, record: bytes) -> bool:
        """Tell whether the id of a session names the place of its subject, and a secret key opens its record."""
        return self._records.sessions.is_placed(id_, record)

    def mark(self, epoch: int, records: Mapping[bytes, bytes]) -> list[bytes] | None:
        """Mark sessions, on all replicas; return their ids, or ``None`` to a mover of an old epoch."""
        return self._run(leaving.mark(self._records, epoch, records, self.replicas))

    def clear(self, marks: Mapping[bytes, bytes]) -> None:
        """Remove the marks of sessions that have been published."""
        self._run(leaving.clear(self._records, marks))

    def sync_marks(self, marks: Mapping[bytes, bytes]) -> None:
        """Wait until all replicas have the marks that were met."""
        self._run(leaving.confirm(self._records, marks, self.replicas))

    # Calls about a subject, which go on past marks

    def sessions_and_marks(self, subject: str) -> tuple[list[Session], Mapping[bytes, bytes]]:
        """Return the live sessions of a subject, and the marks of others, by id."""
        passing = PassingRecords(self._records)
        return self._run_long(leaving.sessions(passing, checked_subject(subject))), passing.marked

    def revoke_and_marks(self, names: Named, keep: str | None) -> tuple[int, Mapping[bytes, bytes]]:
        """End the sessions that are named; return how many, and the marks of others, which go on, by id."""
        passing = PassingRecords(self._records)
        revoking = Operations(passing, self.max_data_bytes).revoke(names.subject, keep, names.label)
        return self._run_long(revoking), passing.marked

    # Calls of operators, likewise

    def page_and_marks(self, wishes: Listing) -> tuple[Page, Mapping[bytes, bytes]]:
        """Return a page of the live sessions, and the marks of others that were met, by id."""
        passing = PassingRecords(self._records)
        return self._run_long(listing.list_page(passing, wishes)), passing.marked

    def count_and_marks(self, subject: str | None) -> tuple[int, Mapping[bytes, bytes]]:
        """Return how many sessions are alive, or how many of a subject, and the marks of others, by id."""
        passing = PassingRecords(self._records)
        return self._run_long(listing.count(passing, subject)), passing.marked
