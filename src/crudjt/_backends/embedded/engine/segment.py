"""The log: every change of the store, in commit order. It is authoritative; the view can be rebuilt from it.

A segment is a file ``log/NNNNNNNNNN.log``: a header block of 4096 bytes, then entries without a gap. Zeros may follow:
room that was allocated ahead. No entry begins with zeros; one may end with some.

    header block    at 0 and again at 2048, so that one bad sector costs nothing
         0    8  magic "CRUDJTL1"
         8    4  format, 1
        12    4  segment number
        16    8  sequence of the first entry
        24    4  salt, random: the CRC of every entry starts from it
        28   32  the store's salt
        60    4  CRC-32 of the 60 bytes before
    synced mark     at 1024, written after each sync, so it is true whenever it is there
         0    8  every byte before this offset was on disk
         8    4  CRC-32 of those 8 bytes, starting from the salt
    entry           one write transaction
         0    4  length of what follows the CRC
         4    4  CRC-32 of what follows, starting from the salt
         8    8  sequence, one more than that of the entry before
        16    n  changes
    change
         0    1  1 = insert, 2 = replace, 3 = delete
         1   16  id
        17   4+n insert, replace: length and bytes of the record
        17   16  delete: the subject tag of the record that goes

All integers are little-endian. Because sequences run on without a gap and every segment has a salt of its own, bytes
of an older file or of a cut-off tail never pass for an entry.
"""

from collections.abc import Sequence
from mmap import mmap
from pathlib import Path
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from crudjt._core.changes import DELETE, INSERT, REPLACE, Change
from crudjt._core.gil import in_batches, in_slices
from crudjt._core.header import SUBJECT_TAG
from crudjt._core.record import MIN_RECORD_BYTES
from crudjt._core.tokens import ID_BYTES
from crudjt.errors import StoreCorrupt, StoreFormatError

MAGIC = b"CRUDJTL1"
SEGMENT_FORMAT = 1
HEADER_BLOCK_BYTES = 4096

_HEADER = Struct("<8sIIQI32s")
_CRC = Struct("<I")
_MARK = Struct("<QI")
_ENTRY = Struct("<IIQ")
unpack_entry_head = _ENTRY.unpack_from
"""Length, CRC and sequence of an entry, which are not checked."""
_pack_length_and_crc = Struct("<II").pack
_PUT = Struct("<B16sI")
_pack_one_put = Struct("<QB16sI").pack
_pack_one_delete = Struct("<QB16s16s").pack
_pack_delete_and_put = Struct("<QB16s16sB16sI").pack
_DELETE = Struct("<B16s16s")
_DELETE_BYTE = bytes([DELETE])
_HEADER_COPIES = (0, 2048)
MARK_OFFSET = 1024
_SEQUENCE_BYTES = 8
LENGTH_AND_CRC_BYTES = 8
ENTRY_HEAD_BYTES = 16

assert _HEADER.size == 60  # noqa: PLR2004 - as the table says
assert _ENTRY.size == ENTRY_HEAD_BYTES


class SegmentHeader(NamedTuple):
    """The header of a segment."""

    number: int
    first_sequence: int
    crc_salt: int
    store_salt: bytes


class Entry(NamedTuple):
    """One write transaction, as stored in a segment."""

    offset: int
    end: int
    sequence: int
    changes: list[tuple[int, bytes, bytes]]  # kind, id, record or subject tag


class Damage(NamedTuple):
    """The position and cause of damage in a segment."""

    offset: int
    reason: str


def segment_path(directory: Path, number: int) -> Path:
    """Return the path of segment `number` in a log directory."""
    return directory / f"{number:010}.log"


def segment_numbers(directory: Path) -> list[int]:
    """Return the numbers of the segments in a log directory, ascending."""
    return sorted(int(path.stem) for path in directory.glob("*.log") if path.stem.isdigit())


def ended_together(changes: Sequence[Change]) -> list[bytes]:
    """Return the ids of sessions of one subject that end together, as a revocation has it; else none."""
    first = changes[0][2] if changes else b""
    ids = [id_ for some in in_slices(changes) for kind, id_, record in some if record is first and kind == DELETE]
    return ids if len(ids) == len(changes) else []


def encode_change(sequence: int, kind: int, id_: bytes, record: bytes, crc_salt: int) -> bytes:
    """Return the bytes of a write transaction of one change: what `encode_entry` does, in fewer steps."""
    if kind == DELETE:
        body = _pack_one_delete(sequence, kind, id_, record[SUBJECT_TAG])
    else:
        body = _pack_one_put(sequence, kind, id_, len(record)) + record
    return _pack_length_and_crc(len(body), crc32(body, crc_salt)) + body


def encode_ended(sequence: int, tag: bytes, ids: Sequence[bytes], crc_salt: int) -> bytes:
    """Return the bytes of a write transaction that ends sessions of one subject, in a tenth of the time."""
    body = sequence.to_bytes(_SEQUENCE_BYTES, "little") + _DELETE_BYTE + (tag + _DELETE_BYTE).join(ids) + tag
    return _pack_length_and_crc(len(body), crc32(body, crc_salt)) + body


def encode_entry(sequence: int, changes: Sequence[Change], crc_salt: int) -> bytes:
    """Return the bytes of one write transaction."""
    if len(changes) == 2 and changes[0][0] == DELETE != changes[1][0]:  # noqa: PLR2004 - a rotation, in half the time
        (kind, id_, record), (new_kind, new_id, new) = changes
        tag = record[SUBJECT_TAG]
        body = _pack_delete_and_put(sequence, kind, id_, tag, new_kind, new_id, len(new)) + new
        return _pack_length_and_crc(len(body), crc32(body, crc_salt)) + body
    if ended := ended_together(changes):
        return encode_ended(sequence, changes[0][2][SUBJECT_TAG], ended, crc_salt)
    parts = [sequence.to_bytes(_SEQUENCE_BYTES, "little")]
    for kind, id_, record in in_batches(changes):
        if kind == DELETE:
            parts.append(_DELETE.pack(kind, id_, record[SUBJECT_TAG]))
        else:
            parts.append(_PUT.pack(kind, id_, len(record)))
            parts.append(record)
    body = b"".join(parts)
    return _pack_length_and_crc(len(body), crc32(body, crc_salt)) + body


def encode_header(header: SegmentHeader) -> bytes:
    """Return the header block of a new segment."""
    packed = _HEADER.pack(
        MAGIC, SEGMENT_FORMAT, header.number, header.first_sequence, header.crc_salt, header.store_salt
    )
    packed += _CRC.pack(crc32(packed))
    block = bytearray(HEADER_BLOCK_BYTES)
    for at in _HEADER_COPIES:
        block[at : at + len(packed)] = packed
    block[MARK_OFFSET : MARK_OFFSET + _MARK.size] = encode_mark(HEADER_BLOCK_BYTES, header.crc_salt)
    return bytes(block)


def encode_mark(synced_end: int, crc_salt: int) -> bytes:
    """Return the synced mark."""
    return _MARK.pack(synced_end, crc32(synced_end.to_bytes(8, "little"), crc_salt))


def decode_mark(content: bytes | mmap, crc_salt: int) -> int:
    """Return the offset before which every byte was on disk, as far as the mark of a segment tells."""
    end, crc = _MARK.unpack_from(content, MARK_OFFSET)
    true = crc == crc32(int(end).to_bytes(8, "little"), crc_salt)
    return int(end) if true else HEADER_BLOCK_BYTES


def decode_header(path: Path, block: bytes) -> SegmentHeader:
    """Return the header of a segment.

    Raises:
        StoreCorrupt: both copies are damaged.
        StoreFormatError: written by a newer version.

    """
    for packed in _whole_copies(block):
        _, format_, *fields = _HEADER.unpack(packed)
        if format_ > SEGMENT_FORMAT:
            raise StoreFormatError(path, format_, SEGMENT_FORMAT)
        return SegmentHeader(*fields)
    raise StoreCorrupt(path, 0, "the segment header is damaged")


def header_copies(block: bytes | mmap) -> int:
    """Return how many of the two copies of the header are undamaged."""
    return len(_whole_copies(block))


def _whole_copies(block: bytes | mmap) -> list[bytes]:
    copies: list[bytes] = []
    for at in _HEADER_COPIES:
        packed = block[at : at + _HEADER.size]
        crc = block[at + _HEADER.size : at + _HEADER.size + _CRC.size]
        if len(crc) == _CRC.size and packed.startswith(MAGIC) and _CRC.unpack(crc) == (crc32(packed),):
            copies.append(packed)
    return copies


def entry_bytes(content: bytes, offset: int) -> int:
    """Return how many bytes an entry takes, from its head; more than there are if that is cut short."""
    if offset + ENTRY_HEAD_BYTES > len(content):
        return ENTRY_HEAD_BYTES
    return LENGTH_AND_CRC_BYTES + int(unpack_entry_head(content, offset)[0])


def decode_entry(content: bytes | mmap, offset: int, crc_salt: int) -> Entry | Damage:
    """Return the entry that begins at an offset of a segment's bytes, or what is wrong there."""
    if offset + ENTRY_HEAD_BYTES > len(content):
        return Damage(offset, "the file ends inside the head of an entry")
    length, crc, sequence = unpack_entry_head(content, offset)
    start = offset + LENGTH_AND_CRC_BYTES
    if length < _SEQUENCE_BYTES or start + length > len(content):
        return Damage(offset, "the length of an entry points past the end of the file")
    body = content[start : start + length]
    if crc32(body, crc_salt) != crc:
        return Damage(offset, "the CRC of an entry does not match")
    changes = decode_changes(body[_SEQUENCE_BYTES:])
    if changes is None:
        return Damage(offset, "the changes of an entry are not well-formed")
    return Entry(offset, start + length, sequence, changes)


def decode_changes(body: bytes) -> list[tuple[int, bytes, bytes]] | None:
    """Decode the changes of an entry; ``None`` if they are malformed or do not fill it exactly."""
    changes: list[tuple[int, bytes, bytes]] = []
    at = 0
    while at < len(body):
        kind = body[at]
        id_ = body[at + 1 : at + 1 + ID_BYTES]
        if kind == DELETE:
            end = at + _DELETE.size
            value = body[end - 16 : end]
        elif kind in (INSERT, REPLACE) and at + _PUT.size <= len(body):
            start = at + _PUT.size
            size = int.from_bytes(body[start - 4 : start], "little")
            end = start + size
            value = body[start:end]
            if size < MIN_RECORD_BYTES:
                return None
        else:
            return None
        if end > len(body):
            return None
        changes.append((kind, id_, value))
        at = end
    return changes
