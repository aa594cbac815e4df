"""The header of a record: its fields, their changes, and what a header's bytes tell without a key.

    offset  size  field
         0     1  format, 1
         1     1  flags: 1 = the payload starts with a subject, 2 = it has details before the data, 4 = there are labels
         2     1  number of labels
         3     1  zero
         4     4  version, from 1, raised by each update
         8     8  created, milliseconds since 1970
        16     8  expires: the deadline in force, 0 = never
        24     8  hard expiry: the end of the absolute lifetime (ttl), 0 = none
        32     8  idle timeout in milliseconds, 0 = none
        40     8  reads left, 0 = unlimited
        48    16  subject tag, zeros without a subject

All integers are little-endian. The functions take the bytes of a header, or of a whole record. These are authenticated
only when the record has been opened.
"""

from struct import Struct

import msgspec
from msgspec.structs import astuple

from crudjt._core.details import MAX_LABELS, Details
from crudjt._core.validation import KEEP, NO_NEW_LIMITS, NewLimits

_HEADER = Struct("<BBHIQQQQQ16s")
HEADER_BYTES = 64

assert _HEADER.size == HEADER_BYTES

FLAGS_OFFSET = 1
LABELS_OFFSET = 2
_VERSION_OFFSET = 4
_CREATED_OFFSET = 8
_EXPIRES_OFFSET = 16
_HARD_EXPIRY_OFFSET = 24
_READS_LEFT_OFFSET = 40
TAG_OFFSET = 48
EXPIRES = slice(_EXPIRES_OFFSET, _HARD_EXPIRY_OFFSET)
LIMITS = slice(_EXPIRES_OFFSET, TAG_OFFSET)
SUBJECT_TAG = slice(TAG_OFFSET, HEADER_BYTES)
"""Where the fields lie in a header; the limits are deadlines and number of reads."""

RECORD_FORMAT = 1
HAS_SUBJECT, HAS_DETAILS, HAS_LABELS = 1, 2, 4  # a record with labels has details: the labels are among them
KNOWN_FLAGS = HAS_SUBJECT | HAS_DETAILS | HAS_LABELS
_FLAGS = tuple(bytes([flags]) for flags in range(KNOWN_FLAGS + 1))
LABEL_TAG_BYTES = 16
NO_LIMITS_BYTES = bytes(TAG_OFFSET - _EXPIRES_OFFSET)
NO_SUBJECT = bytes(HEADER_BYTES - TAG_OFFSET)

unpack_limits = Struct(f"<{_EXPIRES_OFFSET}x4Q").unpack_from
"""Deadline, hard expiry, idle timeout and reads left, from a header's bytes."""
_pack_limits = Struct("<4Q").pack
_MAX_VERSION = 2**32 - 1
_VERSION = Struct("<4sI56s")
_pack_version = _VERSION.pack
_unpack_version = _VERSION.unpack_from

# The fields before the creation time, of a new session without and with a subject.
START_OF_NEW = tuple(
    _HEADER.pack(RECORD_FORMAT, flags, 0, 1, 0, 0, 0, 0, 0, NO_SUBJECT)[:_CREATED_OFFSET] for flags in (0, HAS_SUBJECT)
)
pack_unlimited_header = Struct("<8sQ32x16s").pack
"""Return a header's bytes for a session without limits, from such a start, the creation time and the subject tag."""

pack_header = _HEADER.pack
unpack_header = _HEADER.unpack_from
"""A header's bytes from the fields of a `Header`, and back, for where making a `Header` costs too much."""


class Header(msgspec.Struct, frozen=True, gc=False):
    """The fixed part of a record, in the order of its bytes. Times in milliseconds."""

    format: int
    flags: int
    reserved: int
    version: int
    created: int
    expires: int
    hard_expiry: int
    idle: int
    reads_left: int
    tag: bytes

    def packed(self) -> bytes:
        """Return the bytes."""
        return _HEADER.pack(*astuple(self))

    def alive(self, now_ms: int) -> bool:
        """Tell whether the deadline is still ahead: a token is gone at exactly its deadline."""
        return not self.expires or now_ms < self.expires

    def still_until(self) -> int:
        """Return the time until which a cached copy may be served without a write, as `still_until` does."""
        return still_until(self.expires, self.hard_expiry, self.idle, self.reads_left)

    def due(self, now_ms: int) -> bool:
        """Tell whether a read would change the record, or find it gone."""
        until = self.still_until()
        return until != 0 and now_ms >= until


def deadline(now_ms: int, hard_expiry: int, idle: int) -> int:
    """Return the earlier of the end of the lifetime and of the idle timeout, 0 for never."""
    if not idle:
        return hard_expiry
    if not hard_expiry:
        return now_ms + idle
    return min(hard_expiry, now_ms + idle)


def still_until(expires: int, hard_expiry: int, idle: int, reads_left: int) -> int:
    """Return the time until which a cached copy may be served without a write (0: forever, -1: never).

    A read moves the idle deadline only where it moves by a tenth of the idle timeout, so that reading costs at most one
    write per tenth.
    """
    if reads_left:
        return -1
    if not idle:
        return expires
    step = max(idle // 10, 1)
    if hard_expiry and hard_expiry - expires < step:
        return expires
    return min(expires, expires - idle + step)


def relimited(head: bytes, limits: NewLimits, now_ms: int) -> bytes | None:
    """Return a live session's header with new limits, ``None`` if it has expired.

    Any such change counts as activity, and slides the idle deadline.
    """
    old, hard_expiry, idle, reads_left = unpack_limits(head)
    if 0 < old <= now_ms:
        return None
    if limits is NO_NEW_LIMITS and not idle:
        return head
    before = hard_expiry, idle
    if limits.ttl is not KEEP:
        hard_expiry = now_ms + limits.ttl if limits.ttl else 0
    if limits.idle is not KEEP:
        idle = limits.idle
    if limits.max_reads is not KEEP:
        reads_left = limits.max_reads
    expires = deadline(now_ms, hard_expiry, idle)
    if (hard_expiry, idle) == before and expires < old:
        expires = old  # the clock may have been set back
    return head[:_EXPIRES_OFFSET] + _pack_limits(expires, hard_expiry, idle, reads_left) + head[TAG_OFFSET:]


def has_expired(head: bytes, now_ms: int) -> bool:
    """Tell whether a deadline has passed, from a header's bytes, which are not authenticated yet."""
    expires = int.from_bytes(head[_EXPIRES_OFFSET:_HARD_EXPIRY_OFFSET], "little")
    return 0 < expires <= now_ms


unpack_expires = Struct(f"<{_EXPIRES_OFFSET}xQ").unpack_from
"""The deadline as `expires_of` returns it, in a tuple, from a header's bytes."""


def is_created_before(head: bytes, moment_ms: int) -> bool:
    """Tell whether the session was created before a time, from a header's bytes, which are not authenticated yet."""
    return int.from_bytes(head[_CREATED_OFFSET:_EXPIRES_OFFSET], "little") < moment_ms


def expires_of(head: bytes) -> int:
    """Return the deadline in milliseconds since 1970, 0 for never, from a header's bytes."""
    return int.from_bytes(head[_EXPIRES_OFFSET:_HARD_EXPIRY_OFFSET], "little")


def reads_left_of(head: bytes) -> int:
    """Return the number of reads left, 0 for any number, from a header's bytes."""
    return int.from_bytes(head[_READS_LEFT_OFFSET:TAG_OFFSET], "little")


def version_of(head: bytes) -> int:
    """Return the version, from a header's bytes."""
    return int.from_bytes(head[_VERSION_OFFSET:_CREATED_OFFSET], "little")


def with_next_version(head: bytes) -> bytes:
    """Return a header's bytes as of the next version."""
    before, version, after = _unpack_version(head)
    return _pack_version(before, version + 1 & _MAX_VERSION, after)


def with_created(head: bytes, now_ms: int) -> bytes:
    """Return a header's bytes with another time of creation."""
    return head[:_CREATED_OFFSET] + now_ms.to_bytes(8, "little") + head[_EXPIRES_OFFSET:]


def with_state(head: bytes, expires: int, reads_left: int) -> bytes:
    """Return a header's bytes with another deadline and number of reads left; `head` may be a whole record."""
    return (
        head[:_EXPIRES_OFFSET]
        + expires.to_bytes(8, "little")
        + head[_HARD_EXPIRY_OFFSET:_READS_LEFT_OFFSET]
        + reads_left.to_bytes(8, "little")
        + head[TAG_OFFSET:HEADER_BYTES]
    )


def with_subject_tag(head: bytes, tag: bytes) -> bytes:
    """Return a header's bytes with another subject tag, `NO_SUBJECT` for none, and the flag that goes with it."""
    flags = head[FLAGS_OFFSET] & ~HAS_SUBJECT | (tag != NO_SUBJECT)
    return head[:FLAGS_OFFSET] + _FLAGS[flags] + head[FLAGS_OFFSET + 1 : TAG_OFFSET] + tag


def with_details(head: bytes, details: Details | None) -> bytes:
    """Return a header's bytes with the flags of details and the number of labels, or without them."""
    flags, labels = head[FLAGS_OFFSET] & HAS_SUBJECT, 0
    if details is not None:
        labels = len(details.tags) // LABEL_TAG_BYTES
        flags |= HAS_DETAILS | (HAS_LABELS if labels else 0)
    return head[:FLAGS_OFFSET] + bytes((flags, labels)) + head[LABELS_OFFSET + 1 :]


def head_of_subject(tag: bytes) -> tuple[bytes, bytes]:
    """Return headers of sessions that end, of which only the subject tag is known: without labels, and with some."""
    flags = bytes((RECORD_FORMAT, HAS_SUBJECT)), bytes((RECORD_FORMAT, HAS_SUBJECT | HAS_LABELS, MAX_LABELS))
    return flags[0].ljust(TAG_OFFSET, b"\0") + tag, flags[1].ljust(TAG_OFFSET, b"\0") + tag
