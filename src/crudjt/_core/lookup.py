"""Look up a token through a `Reader` and decrypt its record; a record that was tampered with raises."""

from collections.abc import Callable
from typing import NamedTuple

from cryptography.exceptions import InvalidTag

from crudjt._core.changes import SESSION
from crudjt._core.codec import unpack
from crudjt._core.details import Details
from crudjt._core.header import FLAGS_OFFSET, HAS_SUBJECT, HEADER_BYTES, KNOWN_FLAGS, RECORD_FORMAT, Header
from crudjt._core.keyring import Key, Keyring
from crudjt._core.record import (
    MIN_RECORD_BYTES,
    DamagedRecord,
    UnknownFlags,
    label_tags,
    read_header,
    split_payload,
    unseal,
)
from crudjt._core.session import Envelope, OlderEnvelope, Session
from crudjt._core.tokens import token_block
from crudjt.errors import StoreCorrupt, StoreFormatError

Get = Callable[[bytes], bytes | None]
"""`Reader.get`."""

DamageError = Callable[[bytes], StoreCorrupt]
"""Makes the error of a backend for a damaged record, from the id of its session."""


class Found(NamedTuple):
    """A stored session and the key it belongs to."""

    key: Key
    id: bytes
    record: bytes
    header: Header


class Finder:
    """Finds and decrypts the records of one store."""

    def __init__(self, keyring: Keyring, damaged: DamageError) -> None:
        """Take the keys, and the function that makes the error for a damaged record."""
        self.keyring = keyring
        self._keys = keyring.newest_first
        self._damaged = damaged

    def find(self, get: Get, token: str) -> Found | None:
        """Return the session of a token, expired or not.

        Raises:
            InvalidType: the token is not a str.

        """
        located = self.locate(get, token)
        if located is None:
            return None
        key, id_, record = located
        return Found(key, id_, record, self.header(id_, record))

    def locate(self, get: Get, token: str) -> tuple[Key, bytes, bytes] | None:
        """Return key, id and record of a token, expired or not."""
        block = token_block(token)
        if block is not None:
            for key in self._keys:
                id_ = key.tokens.id(block)
                record = get(SESSION + id_)
                if record is not None:
                    return key, id_, record
        return None

    def find_live(self, get: Get, token: str, now_ms: int) -> Found | None:
        """Return the session of a token, unless it has expired."""
        found = self.find(get, token)
        if found is None or found.header.alive(now_ms):
            return found
        self.open(found)  # raises if the header was changed on disk: then it does not prove that the session has ended
        return None

    def find_id(self, get: Get, key: Key, id_: bytes) -> Found | None:
        """Return the session of an id that belongs to a key, expired or not."""
        record = get(SESSION + id_)
        return None if record is None else Found(key, id_, record, self.header(id_, record))

    def header(self, id_: bytes, record: bytes) -> Header:
        """Return the header of a stored record."""
        try:
            return read_header(record)
        except DamagedRecord:
            raise self._damaged(id_) from None

    def opened(self, key: Key, id_: bytes, record: bytes) -> tuple[bytes, bytes, str | None, Details | None]:
        """Return header, packed data, subject and details of a record.

        Raises:
            StoreCorrupt: the record was changed on disk.
            StoreFormatError: it is of a newer version.

        """
        # `unseal`, written out: the call takes 1 % of a read.
        if len(record) < MIN_RECORD_BYTES or record[0] != RECORD_FORMAT:
            raise self._damaged(id_)
        head = record[:HEADER_BYTES]
        flags = head[FLAGS_OFFSET]
        if flags > HAS_SUBJECT:
            return self._opened_with_details(key, id_, record)
        try:
            payload = key.cipher.open(record, HEADER_BYTES, id_ + head)
        except InvalidTag:
            raise self._damaged(id_) from None
        if not flags:
            return head, payload, None, None
        return head, *split_payload(flags, payload)

    def _opened_with_details(
        self, key: Key, id_: bytes, record: bytes
    ) -> tuple[bytes, bytes, str | None, Details | None]:
        try:
            head, payload = unseal(key.cipher, id_, record)
        except UnknownFlags:
            raise StoreFormatError(self._damaged(id_).path, record[FLAGS_OFFSET], KNOWN_FLAGS) from None
        except DamagedRecord:
            raise self._damaged(id_) from None
        return head, *split_payload(head[FLAGS_OFFSET], payload, label_tags(record))

    def open(self, found: Found) -> tuple[bytes, str | None, Details | None]:
        """Return the packed data, the subject and the details of a session."""
        return self.opened(found.key, found.id, found.record)[1:]

    def session(self, found: Found, now_ns: int) -> Session:
        """Return the `Session` for a caller."""
        packed, subject, details = self.open(found)
        kind = Envelope if found.key is self.keyring.newest else OlderEnvelope
        envelope = kind(found.id, found.record[:HEADER_BYTES], subject, details)
        return Session(unpack(packed), found.header.reads_left or None, envelope, now_ns)


def opens(key: Key, id_: bytes, record: bytes) -> bool:
    """Tell whether a record is of this id and under this key, unchanged."""
    try:
        unseal(key.cipher, id_, record)
    except DamagedRecord:
        return False
    return True
