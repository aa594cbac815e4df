"""The move of sessions from one store to another: what is stored for it, and its decisions, as pure functions.

A session moves in steps, each one transaction of the source or one script at the destination:

    stage    destination  keep a copy of the record that no reader sees
    mark     source       replace the record by a mark, if it still is what was staged
    publish  destination  make the copy the session, once; the stage is used from then on
    clear    source       remove the mark

At each time one store decides. A record at the source: the source. A mark: the copy that was staged, and whoever meets
the mark publishes it before anything else. A used stage, or nothing at the source: the destination.

Several movers may run, and one may be slow. Each has an epoch, which the source counts. Only the mover of the newest
epoch may mark, and no stage replaces one of a later epoch. No late stage brings a session back that has ended since:
servers keep a used stage, which refuses another; a directory keeps the latest epoch of all stages, and refuses those of
an earlier one. (Who staged a session and marked it had the newest epoch then, and a later mover finds no record of it.)

A source that cannot list its sessions in order takes no new ones once the move has begun, since a mover could miss
them. A rotation there stages the new session, and in one transaction ends the old one and marks the new one.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from crudjt._core.changes import DELETE, INSERT, REPLACE, SESSION, Change, Reader
from crudjt._core.header import HEADER_BYTES, RECORD_FORMAT, Header
from crudjt._core.record import MIN_RECORD_BYTES, NONCE, label_tags, read_header
from crudjt._core.tokens import ID_BYTES

MARK_FORMAT = 2
"""First byte of what a mark is, in the place of a record's format."""
NOTE_FORMAT = 3
"""First byte of the note, which says that a move has begun."""
STAGE_FORMAT = 4
"""First byte of a stage in a directory, and of the latest epoch there."""
NOTE_ID = bytes(ID_BYTES)
"""Id under which the note lies; no session has it."""
LATEST_ID = bytes(ID_BYTES - 1) + b"\1"
"""Id under which a directory keeps the latest epoch of a stage; no session has it."""
NOTE_KEY = SESSION + NOTE_ID
MOVE_ID_BYTES = 16
EPOCH_BYTES = 8
NO_EPOCH = 0
"""Epoch of the stage of a session that a rotation makes: no mover stages it."""

_OTHER_FORMATS = tuple(bytes([each]) for each in (MARK_FORMAT, NOTE_FORMAT, STAGE_FORMAT))
AFTER_HEADER = bytes(MIN_RECORD_BYTES - HEADER_BYTES)
EPOCH_FIELD = slice(HEADER_BYTES, HEADER_BYTES + EPOCH_BYTES)
"""What follows a header in a mark, and where an epoch lies in a note and a stage."""
_MOVE = slice(HEADER_BYTES + EPOCH_BYTES, HEADER_BYTES + EPOCH_BYTES + MOVE_ID_BYTES)


class Marked(Exception):
    """A decision met the mark of a session, so another store decides."""

    def __init__(self, id_: bytes, mark: bytes) -> None:
        """Take the id of the session, and the mark."""
        super().__init__(id_)
        self.id = id_
        self.mark = mark


class OtherMove(Exception):
    """The source is being moved to another destination."""


class RotationRefused(Exception):
    """A rotation was to make a session at a source that takes no new ones, and has changed nothing."""

    def __init__(self, rotation: "Rotation") -> None:
        """Take what it would have made."""
        super().__init__()
        self.rotation = rotation


class Rotation(NamedTuple):
    """A rotation that a source has decided on, and that makes the new session at the destination.

    Attributes:
        token: of the new session.
        id: of the new session.
        record: of the new session.
        old: the change that ends the old session, if it is as it was read.
        swap: makes that change and marks the new session; returns False if the old one is not as it was read.

    """

    token: str
    id: bytes
    record: bytes
    old: Change
    swap: Callable[[], bool]

    @property
    def marks(self) -> Mapping[bytes, bytes]:
        """The mark of the new session, by its id."""
        return {self.id: mark_of(self.record)}


class Identity(NamedTuple):
    """The facts that two stores share so that sessions can move between them: tokens and records stay as they are.

    Attributes:
        salt: of the derivation of subkeys, in hexadecimal.
        keys: fingerprints of the secret keys.
        placement: the placement key, sealed under each of them; by fingerprint.

    """

    salt: str
    keys: tuple[str, ...]
    placement: Mapping[str, str]


class Looked(NamedTuple):
    """Some items of a source.

    Attributes:
        items: ids with records and marks.
        next: where to look on; ``None`` at the end.

    """

    items: Sequence[tuple[bytes, bytes]]
    next: object | None


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A move of sessions from another store to this one, as its manifest has it.

    Attributes:
        move: its random id, in hexadecimal.
        finished: whether all of them have come. Until then the store is not opened alone.

    """

    move: str
    finished: bool

    @classmethod
    def begun(cls) -> "Arrival":
        """Return one with an id of its own."""
        return cls(move=os.urandom(MOVE_ID_BYTES).hex(), finished=False)


class Note(NamedTuple):
    """The beginning of a move, as noted at the source."""

    epoch: int
    move: bytes  # random, and the same at the destination
    location: str  # of the destination, for messages

    def packed(self) -> bytes:
        """Return the bytes, in the form of a record that never expires and has no subject."""
        head = bytes([NOTE_FORMAT]).ljust(HEADER_BYTES, b"\0")
        after = (self.epoch.to_bytes(EPOCH_BYTES, "big") + self.move).ljust(len(AFTER_HEADER), b"\0")
        return head + after + self.location.encode()


def unpack_note(value: bytes) -> Note:
    """Return the note that `Note.packed` has made."""
    epoch = int.from_bytes(value[EPOCH_FIELD], "big")
    return Note(epoch, value[_MOVE], value[MIN_RECORD_BYTES:].decode())


def mark_of(record: bytes) -> bytes:
    """Return the mark for a record: its header and label tags, by which indexes and log know it."""
    at = NONCE.stop - HEADER_BYTES  # where the label tags lie, if there are any
    return bytes([MARK_FORMAT]) + record[1:HEADER_BYTES] + AFTER_HEADER[:at] + label_tags(record) + AFTER_HEADER[at:]


def is_mark(value: bytes) -> bool:
    """Tell a mark from a record."""
    return value[0] == MARK_FORMAT


def is_record(value: bytes) -> bool:
    """Tell a record from a mark and from the note."""
    return value[0] == RECORD_FORMAT


def header_of(value: bytes) -> Header:
    """Return the header of a record, of a mark or of the note.

    Raises:
        DamagedRecord: it is none of these.

    """
    if value[:1] in _OTHER_FORMATS:
        value = bytes([RECORD_FORMAT]) + value[1:]
    return read_header(value)


# Decisions of the source


def begin(reader: Reader, move: bytes, location: str) -> tuple[int, Sequence[Change]]:
    """Begin a move, or take one over; return the epoch of this mover.

    Raises:
        OtherMove: another move has begun.

    """
    value = reader.get(NOTE_KEY)
    if value is None:
        return 1, ((INSERT, NOTE_ID, Note(1, move, location).packed()),)
    note = unpack_note(value)
    if note.move != move:
        raise OtherMove
    return note.epoch + 1, ((REPLACE, NOTE_ID, note._replace(epoch=note.epoch + 1).packed()),)


def mark(reader: Reader, epoch: int, records: Mapping[bytes, bytes]) -> tuple[list[bytes] | None, Sequence[Change]]:
    """Mark the sessions whose records still are what was staged; return their ids.

    The result is ``None`` if a mover of a later epoch has begun.
    """
    value = reader.get(NOTE_KEY)
    if value is None or unpack_note(value).epoch != epoch:
        return None, ()
    marked = [id_ for id_, record in records.items() if reader.get(SESSION + id_) == record]
    return marked, [(REPLACE, id_, mark_of(records[id_])) for id_ in marked]


def clear(reader: Reader, ids: Iterable[bytes]) -> tuple[int, Sequence[Change]]:
    """Remove the marks of sessions that have been published; return how many."""
    changes: list[Change] = []
    for id_ in ids:
        value = reader.get(SESSION + id_)
        if value is not None and is_mark(value):
            changes.append((DELETE, id_, value))
    return len(changes), changes
