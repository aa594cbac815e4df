"""One method for each call of a store: check its arguments and return its steps, which either driver carries out."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from crudjt._backends.valkey.manifest import read_identity
from crudjt._backends.valkey.requests import Steps
from crudjt._backends.valkey.steps import (
    changing,
    copying,
    ending,
    limiting,
    listing,
    reading,
    reading_many,
    subjects,
    syncing,
    upkeep,
)
from crudjt._backends.valkey.steps import (
    labels as labelled,
)
from crudjt._backends.valkey.steps.records import Records
from crudjt._backends.valkey.steps.scanning import Scan
from crudjt._core.codec import pack
from crudjt._core.details import Client, changed_details, pack_details
from crudjt._core.gil import in_batches
from crudjt._core.key_uses import KeyUse, key_uses
from crudjt._core.labels import named
from crudjt._core.listing import Page, checked_listing
from crudjt._core.moves import Identity
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.validation import (
    KEEP,
    NO_LIMITS,
    NO_NEW_LIMITS,
    Duration,
    KeepType,
    WhenFull,
    changed_limits,
    checked_handle,
    checked_subject,
    checked_version,
    list_of_tokens,
    new_limits,
    session_limit,
)
from crudjt.errors import InvalidType


class Operations:
    """The calls of one store, as steps. The arguments are those of `crudjt.Store`."""

    def __init__(self, records: Records, max_data_bytes: int) -> None:
        """Take the records on the servers, and the largest data of a session."""
        self._records = records
        self._max_data_bytes = max_data_bytes

    def create(
        self,
        data: dict[Any, Any],
        ttl: Duration | None,
        max_reads: int | None,
        idle: Duration | None,
        subject: str | None,
        max_sessions: int | None = None,
        when_full: WhenFull = "end_oldest",
        client: Client | None = None,
        bound_to: str | None = None,
        labels: Iterable[str] = (),
    ) -> Steps[str]:
        """Create a session."""
        packed = pack(data, self._max_data_bytes)
        limits = NO_LIMITS if ttl is idle is max_reads is None else new_limits(ttl, idle, max_reads)
        if subject is not None:
            checked_subject(subject)
        details = None
        if client is not None or bound_to is not None or labels != ():
            details = pack_details(client, bound_to, labels)
        if max_sessions is not None:
            limit = session_limit(max_sessions, when_full, subject)
            return limiting.create(self._records, packed, subject or "", limits, details, limit)
        return changing.create(self._records, packed, subject, limits, details)

    def read(self, token: str) -> Steps[Session | None]:
        """Read a session."""
        return reading.read(self._records, token)

    def peek(self, token: str) -> Steps[Session | None]:
        """Look at a session."""
        return reading.peek(self._records, token)

    def update(
        self,
        token: str,
        data: dict[Any, Any],
        ttl: Duration | KeepType | None,
        max_reads: int | KeepType | None,
        idle: Duration | KeepType | None,
        if_version: int | None,
    ) -> Steps[bool]:
        """Replace the data of a session."""
        packed = pack(data, self._max_data_bytes)
        if if_version is not None:
            checked_version(if_version)
        limits = NO_NEW_LIMITS if ttl is idle is max_reads is KEEP else changed_limits(ttl, idle, max_reads)
        return changing.change(self._records, token, packed, limits, if_version)

    def touch(self, token: str, ttl: Duration | KeepType | None, idle: Duration | KeepType | None) -> Steps[bool]:
        """Change the limits of a session."""
        return changing.change(self._records, token, None, changed_limits(ttl, idle, KEEP), None)

    def rotate(
        self,
        token: str,
        data: dict[Any, Any] | None,
        subject: str | KeepType | None,
        ttl: Duration | KeepType | None,
        idle: Duration | KeepType | None,
        if_version: int | None,
        max_sessions: int | None = None,
        when_full: WhenFull = "end_oldest",
        client: Client | KeepType | None = KEEP,
        bound_to: str | KeepType | None = KEEP,
        labels: Iterable[str] | KeepType = KEEP,
    ) -> Steps[str | None]:
        """Move a session to a new token."""
        packed = None if data is None else pack(data, self._max_data_bytes)
        if subject is not KEEP and subject is not None:
            checked_subject(subject)
        if if_version is not None:
            checked_version(if_version)
        limits, details = changed_limits(ttl, idle, KEEP), changed_details(client, bound_to, labels)
        if max_sessions is not None:
            limit = session_limit(max_sessions, when_full, subject)
            return limiting.rotate(self._records, token, packed, subject, limits, if_version, details, limit)
        return changing.rotate(self._records, token, packed, subject, limits, if_version, details)

    def delete(self, token: str) -> Steps[bool]:
        """End a session."""
        return ending.delete(self._records, token)

    def list_ids(self, subject: str) -> Steps[list[subjects.Filed]]:
        """Find the sessions of a subject."""
        return subjects.list_ids(self._records, checked_subject(subject))

    def pages(self, filed: Sequence[subjects.Filed]) -> Iterator[Steps[list[Session]]]:
        """Yield the steps that fetch the sessions that were found, for each page of them."""
        for key, ids in subjects.pages_of(filed):
            yield subjects.fetch_page(self._records, key, ids)

    def revoke(self, subject: str | None, keep: str | None, label: str | None = None) -> Steps[int]:
        """End the sessions of a subject, or with a label."""
        names = named(subject, label)
        if names.label is None:
            return subjects.revoke(self._records, names.subject or "", keep)
        return labelled.revoke(self._records, names, keep)

    def revoke_id(self, id: str, subject: str | None) -> Steps[bool]:  # noqa: A002 - named as Session.id is
        """End a session by its id."""
        handle = checked_handle(id)
        if subject is not None:
            checked_subject(subject)
        return ending.revoke_id(self._records, handle, subject)

    def create_many(
        self,
        data: Iterable[dict[Any, Any]],
        ttl: Duration | None,
        max_reads: int | None,
        idle: Duration | None,
        subject: str | None,
    ) -> Steps[list[str]]:
        """Create many sessions."""
        if not isinstance(data, Iterable):
            raise InvalidType("data", f"data must be an iterable of dicts, not {type(data).__name__}")
        limits = new_limits(ttl, idle, max_reads)
        if subject is not None:
            checked_subject(subject)
        packed = [pack(item, self._max_data_bytes) for item in in_batches(data)]
        return changing.create_many(self._records, packed, subject, limits)

    def read_many(self, tokens: Iterable[str]) -> Steps[list[Session | None]]:
        """Read many sessions."""
        return reading_many.read_many(self._records, list_of_tokens(tokens))

    def delete_many(self, tokens: Iterable[str]) -> Steps[int]:
        """End many sessions."""
        return ending.delete_many(self._records, list_of_tokens(tokens))

    def stats(self) -> Steps[Stats]:
        """Count."""
        return upkeep.stats(self._records)

    def sweep(self) -> Steps[int]:
        """Remove what has expired."""
        return upkeep.sweep(self._records)

    def count(self, subject: str | None) -> Steps[int]:
        """Count the live sessions."""
        return listing.count(self._records, None if subject is None else checked_subject(subject))

    def find(self, id: str) -> Steps[Session | None]:  # noqa: A002 - named as Session.id is
        """Look at a session by its id."""
        return listing.find(self._records, checked_handle(id))

    def list_page(
        self, after: str | None, limit: int, subject: str | None, created_before: datetime | None, *, data: bool
    ) -> Steps[Page]:
        """List sessions."""
        return listing.list_page(self._records, checked_listing(after, limit, subject, created_before, data=data))

    def identity(self) -> Steps[Identity]:
        """Read salt and keys, for a copy."""
        return read_identity(self._records.location, self._records.layout)

    def all_records(self) -> Iterator[Steps[list[tuple[bytes, bytes]]]]:
        """Yield the steps that read the next sessions, until all were read."""
        scan = Scan(self._records.layout.all_sessions)
        while not scan.ended:
            yield copying.next_records(self._records, scan)

    def key_uses(self, records: Iterable[tuple[bytes, bytes]]) -> list[KeyUse]:
        """Count the live sessions among records, by key. One that a scan finds twice counts once."""
        return key_uses(self._records.sessions.keyring, _once(records), self._records.clock)

    def sync(self) -> Steps[None]:
        """Wait for the disks."""
        return syncing.sync(self._records)


def _once(records: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    seen = set[bytes]()
    for id_, record in records:
        if id_ not in seen:
            seen.add(id_)
            yield id_, record
