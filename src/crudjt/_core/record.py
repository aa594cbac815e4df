"""Records: the stored form of a session.

A record is a header in the clear and a sealed payload (``docs/format.md``):

    offset  size  field
         0    64  header: see `crudjt._core.header`
        64    24  nonce
        88   16l  label tags, one for each label
    88+16l     n  sealed payload: [subject length (2), subject,] [details length (2), details,] data as MessagePack
  88+16l+n    16  tag

All integers are little-endian. The id, the header and the label tags are associated data: a record that was moved to
another id, or whose limits were changed on disk, does not open.
"""

from cryptography.exceptions import InvalidTag

from crudjt._core.details import Details
from crudjt._core.header import (
    FLAGS_OFFSET,
    HAS_DETAILS,
    HAS_LABELS,
    HAS_SUBJECT,
    HEADER_BYTES,
    KNOWN_FLAGS,
    LABEL_TAG_BYTES,
    LABELS_OFFSET,
    RECORD_FORMAT,
    Header,
    unpack_header,
)
from crudjt._core.xaes import NONCE_BYTES, OVERHEAD_BYTES, XAES256GCM

NONCE = slice(64, 88)
"""Where the nonce lies in a record."""
MIN_RECORD_BYTES = HEADER_BYTES + OVERHEAD_BYTES
_LENGTH_BYTES = 2
_NO_NONCE = bytes(NONCE_BYTES)


class DamagedRecord(Exception):
    """The bytes are not a record of this id under this key."""


class UnknownFlags(DamagedRecord):
    """The record is whole, and of a newer version."""


def read_header(record: bytes) -> Header:
    """Return the header of a stored record.

    Raises:
        DamagedRecord: too short, or of an unknown format.

    """
    if len(record) < MIN_RECORD_BYTES or record[0] != RECORD_FORMAT:
        raise DamagedRecord
    return Header(*unpack_header(record))


def label_tags(record: bytes) -> bytes:
    """Return the label tags of a record, or of a mark in its place, which are not authenticated yet."""
    if len(record) < HEADER_BYTES or not record[FLAGS_OFFSET] & HAS_LABELS:
        return b""
    return record[NONCE.stop : NONCE.stop + LABEL_TAG_BYTES * record[LABELS_OFFSET]]


def each_label_tag(record: bytes) -> list[bytes]:
    """Return the label tags of a record, or of a mark, one by one."""
    tags = label_tags(record)
    return [tags[at : at + LABEL_TAG_BYTES] for at in range(0, len(tags), LABEL_TAG_BYTES)]


def ending_head(head: bytes, details: Details | None) -> bytes:
    """Return the start of the record of a session that ends, by which its index entries are found."""
    return head if details is None or not details.tags else head + _NO_NONCE + details.tags


def unseal(cipher: XAES256GCM, id_: bytes, record: bytes) -> tuple[bytes, bytes]:
    """Return a record's header, now authenticated, and its payload.

    Raises:
        DamagedRecord: changed on disk, moved from another id, or sealed with another key.
        UnknownFlags: of a newer version.

    """
    if len(record) < MIN_RECORD_BYTES or record[0] != RECORD_FORMAT:
        raise DamagedRecord
    head, tags = record[:HEADER_BYTES], label_tags(record)
    sealed, start = (record[NONCE] + record[NONCE.stop + len(tags) :], 0) if tags else (record, HEADER_BYTES)
    if len(sealed) - start < OVERHEAD_BYTES:
        raise DamagedRecord
    try:
        payload = cipher.open(sealed, start, _associated(id_, head, tags))
    except InvalidTag:
        raise DamagedRecord from None
    if head[FLAGS_OFFSET] > KNOWN_FLAGS:
        raise UnknownFlags
    return head, payload


def seal(cipher: XAES256GCM, id_: bytes, head: bytes, payload: bytes, tags: bytes = b"") -> bytes:
    """Return the record to store, from a header's bytes, a payload and label tags."""
    if not tags:
        return cipher.seal(payload, _associated(id_, head), head)
    sealed = cipher.seal(payload, _associated(id_, head, tags))
    return head + sealed[:NONCE_BYTES] + tags + sealed[NONCE_BYTES:]


def _associated(id_: bytes, head: bytes, tags: bytes = b"") -> bytes:
    """Return the associated data of a record.

    With flags of 2.0.0 they are in it twice, so that 2.0.0rc1, which would misread the payload, does not open it.
    """
    flags = head[FLAGS_OFFSET : FLAGS_OFFSET + 1] if head[FLAGS_OFFSET] > HAS_SUBJECT else b""
    return id_ + head + tags + flags


def seal_session(
    cipher: XAES256GCM, id_: bytes, head: bytes, data: bytes, subject: str | None, details: Details | None
) -> bytes:
    """Return the record to store, from the parts of a session; the header's flags say which of them it has."""
    tags = b""
    if details is not None:
        tags = details.tags
        data = len(details.packed).to_bytes(_LENGTH_BYTES, "little") + details.packed + data
    if subject is not None:
        data = join_payload(data, subject)[1]
    return seal(cipher, id_, head, data, tags)


def join_payload(data: bytes, subject: str | None) -> tuple[int, bytes]:
    """Return the flags and the payload for packed data."""
    if subject is None:
        return 0, data
    encoded = subject.encode()
    return HAS_SUBJECT, len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded + data


def split_payload(flags: int, payload: bytes, tags: bytes = b"") -> tuple[bytes, str | None, Details | None]:
    """Return packed data, subject and details, with label tags."""
    subject = None
    if flags & HAS_SUBJECT:
        end = _LENGTH_BYTES + int.from_bytes(payload[:_LENGTH_BYTES], "little")
        payload, subject = payload[end:], payload[_LENGTH_BYTES:end].decode()
    if not flags & HAS_DETAILS:
        return payload, subject, None
    end = _LENGTH_BYTES + int.from_bytes(payload[:_LENGTH_BYTES], "little")
    return payload[end:], subject, Details(payload[_LENGTH_BYTES:end], tags)
