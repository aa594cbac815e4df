"""Records as they were fetched, and what comes of a commit that rests on them."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

from crudjt._backends.valkey.requests import LOST, Lost, Reply
from crudjt._backends.valkey.steps.recent import Met
from crudjt._core.changes import SESSION, Change


class Fetched:
    """Records as they were fetched: the `Reader` of a decision."""

    def __init__(self, records: dict[bytes, bytes | None]) -> None:
        """Take records by the key of a `Reader`, with ``None`` where there is none."""
        self.records = records

    def get(self, key: bytes) -> bytes | None:
        """Return the record of a key."""
        return self.records.get(key)

    def note(self, conflict: "Conflict") -> None:
        """Replace a record by the one that a commit has found."""
        self.records[SESSION + conflict.id] = conflict.record


def as_met(met: Met) -> Fetched:
    """Return the record of a session as this process has met it."""
    return Fetched({SESSION + met.id: met.record})


class Refused(Exception):
    """A record was to be inserted at a place whose sessions are moved elsewhere; nothing was changed."""


class Conflict(NamedTuple):
    """A record was not as it was fetched, or an index not as it was listed, so nothing was changed."""

    id: bytes  # empty for an index
    record: bytes | None  # what is there


def as_found(conflict: Conflict) -> Fetched:
    """Return the record that a commit has found in place of the one that it rested on."""
    return Fetched({SESSION + conflict.id: conflict.record})


class Done(NamedTuple):
    """Changes that were carried out."""

    found: list[bool]  # for each change whether there was a record
    repeated: bool  # an earlier reply to the same request was lost


Outcome = Done | Conflict | Literal[Lost.LOST]


def outcome_of(changes: Sequence[Change], reply: Reply) -> Outcome:
    """Return what came of a batch. Raises `Refused`."""
    value = reply.value
    if value is LOST:
        return LOST
    if isinstance(value, bytes):
        return Done([flag == ord("1") for flag in value], reply.repeated)
    number, record = cast("tuple[int, bytes | None]", value)
    if not number:
        raise Refused
    return Conflict(changes[number - 1][1] if number <= len(changes) else b"", record)
