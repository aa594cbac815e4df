"""What each operation does to the records: decisions, as functions of a view, the caller's wishes and the time.

A decision returns its result and the changes that make it true; the engine carries them out, or nothing. Nothing in
here writes, and nothing reads the clock.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from crudjt.bites import in_bites
from crudjt.clock import NS_PER_MS
from crudjt.engine.cache import Cached
from crudjt.engine.engine import Reader
from crudjt.engine.log import DELETE, INSERT, REPLACE, Change
from crudjt.engine.view import SESSION
from crudjt.errors import StoreCorrupt, VersionConflict
from crudjt.keyring import Key, Keyring
from crudjt.limits import NO_LIMITS, NO_NEW_LIMITS, Limits, NewLimits
from crudjt.packing import unpack
from crudjt.records import (
    FLAGS_OFFSET,
    FORMAT,
    HEADER_BYTES,
    NO_SUBJECT,
    TAG_OFFSET,
    DamagedRecord,
    Envelope,
    Header,
    Session,
    deadline,
    has_expired,
    join_payload,
    pack_header,
    read_header,
    relimited,
    seal,
    split_payload,
    unlimited,
    unpack_header,
    unseal,
    version_of,
    with_next_version,
    with_state,
    with_tag,
)
from crudjt.tokens import checked_block, new_id

Get = Callable[[bytes], bytes | None]


class Found(NamedTuple):
    """A stored session and the key it belongs to."""

    key: Key
    id: bytes
    record: bytes
    header: Header


class Filed(NamedTuple):
    """An entry of the index by subject."""

    key: Key
    tag: bytes
    id: bytes


class Sessions:
    """The decisions of one store, under its keys."""

    def __init__(self, keyring: Keyring, words: memoryview, directory: Path) -> None:
        """Take what all decisions have in common: keys, the words of the control block, and for errors, a directory."""
        self.keyring = keyring
        self._newest = keyring.newest
        self._keys = keyring.newest_first
        self._words = words
        self._directory = directory

    def find(self, get: Get, token: str) -> Found | None:
        """Return what a token stands for, expired or not.

        Raises:
            InvalidParameter: the token is not text.

        """
        located = self._locate(get, token)
        if located is None:
            return None
        key, id_, record = located
        return Found(key, id_, record, self.header(id_, record))

    def _locate(self, get: Get, token: str) -> tuple[Key, bytes, bytes] | None:
        block = checked_block(token)
        if block is not None:
            for key in self._keys:
                id_ = key.tokens.id(block)
                record = get(SESSION + id_)
                if record is not None:
                    return key, id_, record
        return None

    def find_live(self, get: Get, token: str, now_ms: int) -> Found | None:
        """Return what a token stands for, unless it has expired."""
        found = self.find(get, token)
        if found is None or found.header.alive(now_ms):
            return found
        self.open(found)  # a damaged header is not believed that the session has ended
        return None

    def header(self, id_: bytes, record: bytes) -> Header:
        """Return the header of a stored record."""
        try:
            return read_header(record)
        except DamagedRecord:
            raise self._corrupt(id_) from None

    def opened(self, key: Key, id_: bytes, record: bytes) -> tuple[bytes, bytes, str | None]:
        """Return header, packed data and subject of a record, believing nothing that was changed on disk."""
        try:
            payload = unseal(key.cipher, id_, record)
        except DamagedRecord:
            raise self._corrupt(id_) from None
        flags = record[FLAGS_OFFSET]
        if not flags:
            return record[:HEADER_BYTES], payload, None
        return record[:HEADER_BYTES], *split_payload(flags, payload)

    def open(self, found: Found) -> tuple[bytes, str | None]:
        """Return the packed data and the subject of a record."""
        return split_payload(found.header.flags, self._unseal(found))

    def _unseal(self, found: Found) -> bytes:
        try:
            return unseal(found.key.cipher, found.id, found.record)
        except DamagedRecord:
            raise self._corrupt(found.id) from None

    def session(self, found: Found, now_ns: int) -> Session:
        """Return a session as its owner sees it."""
        packed, subject = self.open(found)
        envelope = Envelope(found.id, found.record[:HEADER_BYTES], subject)
        return Session(unpack(packed), found.header.reads_left or None, envelope, now_ns)

    def _corrupt(self, id_: bytes) -> StoreCorrupt:
        return StoreCorrupt(self._directory, 0, f"the record of session {id_.hex()} is damaged")

    # Decisions

    def insert(self, packed: bytes, subject: str | None, limits: Limits, now_ns: int) -> tuple[str, Change]:
        """Return the token of a new session, and the change that begins it."""
        key = self._newest
        id_, now_ms = new_id(now_ns), now_ns // NS_PER_MS
        flags, tag = 0, NO_SUBJECT
        if subject is not None:
            flags, packed = join_payload(packed, subject)
            tag = key.subject_tag(subject)
        if limits is NO_LIMITS:
            head = pack_header(FORMAT, flags, 0, 1, now_ms, 0, 0, 0, 0, tag)
        else:
            ttl, idle, max_reads = limits
            hard_expiry = now_ms + ttl if ttl else 0
            expires = deadline(now_ms, hard_expiry, idle)
            head = pack_header(FORMAT, flags, 0, 1, now_ms, expires, hard_expiry, idle, max_reads, tag)
        return key.tokens.token(id_), (INSERT, id_, seal(key.cipher, id_, head, packed))

    def take(self, view: Reader, tokens: Sequence[str], now_ns: int) -> tuple[list[Session | None], list[Change]]:
        """Read sessions, counting the read and sliding the idle deadline."""
        now_ms = now_ns // NS_PER_MS
        taken: dict[bytes, Found] = {}
        changes: dict[bytes, Change] = {}
        results: list[Session | None] = []
        for token in in_bites(tokens):
            found = self.find_live(view.get, token, now_ms)
            if found is not None:
                found = taken.get(found.id, found)
            if found is None or (found.id in changes and changes[found.id][0] == DELETE):
                results.append(None)
                continue
            if not found.header.due(now_ms):
                results.append(self.session(found, now_ns))
                continue
            session, change = self.taken(found, *self.open(found), now_ns)
            results.append(session)
            changes[found.id] = change
            if change[0] == REPLACE:
                taken[found.id] = Found(found.key, found.id, change[2], self.header(found.id, change[2]))
        return results, list(changes.values())

    def take_as_found(
        self, view: Reader, token: str, record: bytes, session: Session, change: Change, now_ns: int
    ) -> tuple[Session | None, Sequence[Change]]:
        """Read a session with what `taken` has made of its record beforehand, or anew if that is another by now."""
        if view.get(SESSION + change[1]) == record:
            return session, (change,)
        results, changes = self.take(view, (token,), now_ns)
        return results[0], changes

    def taken(self, found: Found, packed: bytes, subject: str | None, now_ns: int) -> tuple[Session, Change]:
        """Return what a read that is due gives of a session, and makes of it."""
        key, id_, record, header = found
        expires, reads_left = header.expires, header.reads_left - 1 if header.reads_left else None
        if header.idle:
            expires = max(expires, deadline(now_ns // NS_PER_MS, header.hard_expiry, header.idle))
        head = with_state(record, expires, reads_left or 0)
        session = Session(unpack(packed), reads_left, Envelope(id_, head, subject), now_ns)
        if reads_left == 0:
            return session, (DELETE, id_, head)
        if subject is not None:
            packed = join_payload(packed, subject)[1]
        return session, (REPLACE, id_, seal(key.cipher, id_, head, packed))

    def change(
        self,
        view: Reader,
        token: str,
        known: Cached | None,
        packed: bytes | None,
        limits: NewLimits,
        if_version: int | None,
        now_ms: int,
    ) -> tuple[bool, Sequence[Change]]:
        """Give a live session new data, unless `packed` is ``None``, and new limits.

        Raises:
            VersionConflict: the session is not at `if_version`.

        """
        current = self._current(view, token, known)
        if current is None:
            return False, ()
        key, id_, head, old, subject = current
        if limits is not NO_NEW_LIMITS or not unlimited(head):
            header = Header(*unpack_header(head))
            if not header.alive(now_ms):
                return False, ()
            if limits is not NO_NEW_LIMITS or header.idle:
                head = relimited(header, limits, now_ms).packed()
        if if_version is not None and if_version != version_of(head):
            raise VersionConflict(if_version, version_of(head))
        if packed is None:
            packed = old
        else:
            head = with_next_version(head)
        if subject is not None:
            packed = join_payload(packed, subject)[1]
        return True, ((REPLACE, id_, seal(key.cipher, id_, head, packed)),)

    def rotate(
        self, view: Reader, token: str, known: Cached | None, now_ns: int
    ) -> tuple[str | None, Sequence[Change]]:
        """Move a live session to a new token, of the newest key."""
        current = self._current(view, token, known)
        if current is None:
            return None, ()
        key, id_, old, packed, subject = current
        head, newest, new = old, self._newest, new_id(now_ns)
        if not unlimited(head):
            header, now_ms = Header(*unpack_header(head)), now_ns // NS_PER_MS
            if not header.alive(now_ms):
                return None, ()
            head = relimited(header, NO_NEW_LIMITS, now_ms).packed()
        if subject is not None:
            packed = join_payload(packed, subject)[1]
            if key is not newest:
                head = with_tag(head, newest.subject_tag(subject))
        record = seal(newest.cipher, new, head, packed)
        return newest.tokens.token(new), ((DELETE, id_, old), (INSERT, new, record))

    def _current(
        self, view: Reader, token: str, known: Cached | None
    ) -> tuple[Key, bytes, bytes, bytes, str | None] | None:
        """Return key, id, header, packed data and subject of a session, expired or not; from the cache, if it holds."""
        if known is not None and self._holds(known):
            return self._keys[known.key], known.id, known.head, known.packed, known.subject
        located = self._locate(view.get, token)
        if located is None:
            return None
        return *located[:2], *self.opened(*located)

    def end(self, view: Reader, token: str, known: Cached | None, now_ms: int) -> tuple[bool, Sequence[Change]]:
        """End a session; the result is whether it was alive."""
        if known is not None and self._holds(known):
            return not has_expired(known.head, now_ms), ((DELETE, known.id, known.head),)
        located = self._locate(view.get, token)
        if located is None:
            return False, ()
        key, id_, record = located
        alive = self.header(id_, record).alive(now_ms)
        return alive or not _opens(key, id_, record), ((DELETE, id_, record),)

    def _holds(self, known: Cached) -> bool:
        """Tell whether the cache knows what the view holds. Under the write lock that stays so."""
        return self._words[known.word] == known.noted

    def remove(self, view: Reader, tokens: Sequence[str], now_ms: int) -> tuple[int, list[Change]]:
        """End sessions; the result counts those that were alive."""
        alive, changes = 0, dict[bytes, Change]()
        for token in in_bites(tokens):
            found = self.find(view.get, token)
            if found is not None and found.id not in changes:
                alive += found.header.alive(now_ms) or not _opens(found.key, found.id, found.record)
                changes[found.id] = DELETE, found.id, found.record
        return alive, list(changes.values())

    def remove_id(self, view: Reader, id_: bytes, now_ms: int) -> tuple[bool, list[Change]]:
        """End a session by its id, if it belongs to one of our keys; the result is whether it was alive."""
        record = view.get(SESSION + id_)
        if record is None:
            return False, []
        header = self.header(id_, record)
        if not any(_opens(key, id_, record) for key in self.keyring.newest_first):
            return False, []
        return header.alive(now_ms), [(DELETE, id_, record)]

    def remove_filed(self, view: Reader, filed: Sequence[Filed], now_ms: int) -> tuple[int, list[Change]]:
        """End sessions of a subject; the result counts those that were alive.

        A damaged record goes too, and counts, since it may be of a session that is alive.
        """
        alive, changes = 0, []
        for key, tag, id_ in in_bites(filed):
            record = view.get(SESSION + id_)
            if record is not None:
                alive += not has_expired(record, now_ms) or not _opens(key, id_, record)
                changes.append((DELETE, id_, bytes(TAG_OFFSET) + tag))
        return alive, changes

    def find_filed(self, get: Get, filed: Filed) -> Found | None:
        """Return a session of a subject, expired or not, if it still exists."""
        record = get(SESSION + filed.id)
        return None if record is None else Found(filed.key, filed.id, record, self.header(filed.id, record))


def _opens(key: Key, id_: bytes, record: bytes) -> bool:
    try:
        unseal(key.cipher, id_, record)
    except DamagedRecord:
        return False
    return True
