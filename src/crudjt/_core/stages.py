"""The part of a move that its destination has: stages, and what becomes of them; see `moves`."""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from crudjt._core.changes import DELETE, INSERT, REPLACE, SESSION, Change, Reader
from crudjt._core.header import NO_SUBJECT, pack_header
from crudjt._core.moves import AFTER_HEADER, EPOCH_BYTES, EPOCH_FIELD, LATEST_ID, NO_EPOCH, NOTE_ID, STAGE_FORMAT
from crudjt._core.record import MIN_RECORD_BYTES

_LATEST_KEY = SESSION + LATEST_ID
_DAY_MS = 86_400_000
_STAGED = 0x80  # in the first byte of an id: no session is made after the year 2262


class Staged(Enum):
    """The answer to a stage."""

    DONE = 1
    USED = 2  # the session was published before
    LATER = 3  # a mover of a later epoch has staged it


# Rules of a destination on servers, whose scripts do the same


def stage(current: bytes | None, epoch: int, record: bytes) -> tuple[Staged, bytes]:
    """Return the answer to a stage and what the stage is then."""
    wanted = epoch.to_bytes(EPOCH_BYTES, "big")
    if current is not None and len(current) == EPOCH_BYTES:
        return Staged.USED, current
    if current is not None and current[:EPOCH_BYTES] > wanted:
        return Staged.LATER, current
    return Staged.DONE, wanted + record


def publish(current: bytes | None) -> tuple[bytes, bytes | None]:
    """Return what the stage is after a publication, and the record that becomes the session, if one does."""
    if current is None or len(current) == EPOCH_BYTES:
        return current or bytes(EPOCH_BYTES), None
    return current[:EPOCH_BYTES], current[EPOCH_BYTES:]


# Decisions of a destination in a directory


def stage_all(
    reader: Reader, epoch: int, records: Mapping[bytes, bytes], now_ms: int
) -> tuple[list[Staged], Sequence[Change]]:
    """Stage records; return the answer to each. The stage of a rotation ends after a day, if nothing uses it."""
    expires = 0 if epoch != NO_EPOCH else now_ms + _DAY_MS
    value = reader.get(_LATEST_KEY)
    latest = NO_EPOCH if value is None else int.from_bytes(value[EPOCH_FIELD], "big")
    if epoch != NO_EPOCH and epoch < latest:
        return [Staged.LATER] * len(records), ()
    changes = [_put(reader, _stage_id(id_), _packed_stage(epoch, record, expires)) for id_, record in records.items()]
    if epoch > latest:
        changes.append(_put(reader, LATEST_ID, _packed_stage(epoch, b"", 0)))
    return [Staged.DONE] * len(records), changes


def publish_all(reader: Reader, ids: Iterable[bytes]) -> tuple[int, Sequence[Change]]:
    """Make the records of stages the sessions; return the number of changes."""
    changes: list[Change] = []
    for id_ in ids:
        staged = reader.get(SESSION + _stage_id(id_))
        if staged is not None:
            changes.append((DELETE, _stage_id(id_), staged))
            if reader.get(SESSION + id_) is None:
                changes.append((INSERT, id_, staged[MIN_RECORD_BYTES:]))
    return len(changes), changes


def remove_stages(reader: Reader, ids: Iterable[bytes]) -> tuple[int, Sequence[Change]]:
    """Remove what a move has left; return how much."""
    found = [(id_, reader.get(SESSION + id_)) for id_ in ids]
    changes = [(DELETE, id_, value) for id_, value in found if value is not None]
    return len(changes), changes


def _put(reader: Reader, id_: bytes, value: bytes) -> Change:
    return INSERT if reader.get(SESSION + id_) is None else REPLACE, id_, value


def is_of_a_session(id_: bytes) -> bool:
    """Tell the id of a session from those under which a directory keeps something else."""
    return id_[0] < _STAGED and id_ > LATEST_ID


def is_of_a_mover(stage: bytes) -> bool:
    """Tell the stage of a mover from that of a rotation."""
    return int.from_bytes(stage[EPOCH_FIELD], "big") != NO_EPOCH


def _packed_stage(epoch: int, record: bytes, expires: int) -> bytes:
    """Return a stage in the form of a record without a subject."""
    head = pack_header(STAGE_FORMAT, 0, 0, 0, 0, expires, 0, 0, 0, NO_SUBJECT)
    return head + epoch.to_bytes(EPOCH_BYTES, "big").ljust(len(AFTER_HEADER), b"\0") + record


def _stage_id(id_: bytes) -> bytes:
    return bytes([id_[0] | _STAGED]) + id_[1:]


FIRST_STAGE_ID = _stage_id(NOTE_ID)
"""The ids of all stages in a directory come from here on."""
