"""Pure functions: from a `Reader`, arguments and the time to the changes to write.

Each is a `Decision`: it returns its result and the changes that make it true, and a backend commits them all or none.
Nothing here writes, reads the clock, or knows which backend calls it.
"""

from collections.abc import Sequence

from crudjt._core.changes import DELETE, INSERT, REPLACE, Change, Known, Reader
from crudjt._core.clock import NS_PER_MS
from crudjt._core.codec import unpack
from crudjt._core.details import NO_NEW_DETAILS, Details, NewDetails, with_new
from crudjt._core.endings import Endings, IndexReader
from crudjt._core.gil import in_batches
from crudjt._core.header import (
    LIMITS,
    NO_LIMITS_BYTES,
    NO_SUBJECT,
    RECORD_FORMAT,
    START_OF_NEW,
    deadline,
    pack_header,
    pack_unlimited_header,
    relimited,
    version_of,
    with_created,
    with_details,
    with_next_version,
    with_state,
    with_subject_tag,
)
from crudjt._core.keyring import Key, Keyring, Placement
from crudjt._core.labels import tagged
from crudjt._core.lookup import DamageError, Found, opens
from crudjt._core.record import ending_head, join_payload, seal_session
from crudjt._core.session import Envelope, OlderEnvelope, Session
from crudjt._core.tokens import PLACE, new_id
from crudjt._core.validation import KEEP, NO_LIMITS, NO_NEW_LIMITS, KeepType, NewLimits, SessionLimit, StoredLimits
from crudjt.errors import VersionConflict


class Sessions(Endings):
    """The decisions of one store, under its keys."""

    def __init__(self, keyring: Keyring, placement: Placement, damaged: DamageError) -> None:
        """Take the keys, the places of subjects, and what makes the error for a damaged record."""
        super().__init__(keyring, damaged)
        self._newest = keyring.newest
        self.place_of = placement.of

    def insert(
        self,
        packed: bytes,
        subject: str | None,
        limits: StoredLimits,
        now_ns: int,
        details: Details | None = None,
        place: bytes | None = None,
    ) -> tuple[str, Change]:
        """Return the token of a new session, and the change that creates it; `place` is for one without a subject."""
        key, now_ms = self._newest, now_ns // NS_PER_MS
        flags, tag, data = 0, NO_SUBJECT, packed
        if subject is not None:
            flags, packed = join_payload(packed, subject)
            tag = key.subject_tag(subject)
            place = self.place_of(subject)
        id_ = new_id(now_ns, place)
        if limits is NO_LIMITS:
            head = pack_unlimited_header(START_OF_NEW[flags], now_ms, tag)
        else:
            ttl, idle, max_reads = limits
            hard_expiry = now_ms + ttl if ttl else 0
            expires = deadline(now_ms, hard_expiry, idle)
            head = pack_header(RECORD_FORMAT, flags, 0, 1, now_ms, expires, hard_expiry, idle, max_reads, tag)
        if details is not None:
            details = tagged(details, key)
            head = with_details(head, details)
            record = seal_session(key.cipher, id_, head, data, subject, details)
            return key.tokens.token(id_), (INSERT, id_, record)
        # `seal_session`, written out here and in the other hot operations: the call takes 1 % of a write.
        return key.tokens.token(id_), (INSERT, id_, key.cipher.seal(packed, id_ + head, head))

    def insert_within(
        self,
        reader: IndexReader,
        packed: bytes,
        subject: str,
        limits: StoredLimits,
        now_ns: int,
        details: Details | None,
        limit: SessionLimit,
    ) -> tuple[str, Sequence[Change]]:
        """Return the token of a new session of a subject, and the changes: it begins, and its oldest may have to end.

        Raises:
            TooManySessions: no session is to end, and there is no room.

        """
        ending = self.make_room(reader, subject, limit, now_ns // NS_PER_MS)
        token, change = self.insert(packed, subject, limits, now_ns, details)
        return token, (change, *ending)  # an ending before it would be a rotation in the log

    def take(
        self, reader: Reader, tokens: Sequence[str], now_ns: int, *, extend: bool = True
    ) -> tuple[list[Session | None], list[Change]]:
        """Read sessions; count the read and, with `extend`, restart the idle timeout."""
        now_ms = now_ns // NS_PER_MS
        taken: dict[bytes, Found] = {}
        changes: dict[bytes, Change] = {}
        results: list[Session | None] = []
        for token in in_batches(tokens):
            found = self.find_live(reader.get, token, now_ms)
            if found is not None:
                found = taken.get(found.id, found)
            if found is None or (found.id in changes and changes[found.id][0] == DELETE):
                results.append(None)
                continue
            if not found.header.due(now_ms) or not (extend or found.header.reads_left):
                results.append(self.session(found, now_ns))
                continue
            session, change = self.taken(found, *self.open(found), now_ns)
            results.append(session)
            changes[found.id] = change
            if change[0] == REPLACE:
                taken[found.id] = Found(found.key, found.id, change[2], self.header(found.id, change[2]))
        return results, list(changes.values())

    def taken(
        self, found: Found, packed: bytes, subject: str | None, details: Details | None, now_ns: int
    ) -> tuple[Session, Change]:
        """Return the result of a read that changes the record, and the change."""
        key, id_, record, header = found
        expires, reads_left = header.expires, header.reads_left - 1 if header.reads_left else None
        if header.idle:
            expires = max(expires, deadline(now_ns // NS_PER_MS, header.hard_expiry, header.idle))
        head = with_state(record, expires, reads_left or 0)
        kind = Envelope if key is self.keyring.newest else OlderEnvelope
        session = Session(unpack(packed), reads_left, kind(id_, head, subject, details), now_ns)
        if reads_left == 0:
            return session, (DELETE, id_, ending_head(head, details))
        return session, (REPLACE, id_, seal_session(key.cipher, id_, head, packed, subject, details))

    def change(
        self,
        reader: Reader,
        token: str,
        known: Known | None,
        packed: bytes | None,
        limits: NewLimits,
        if_version: int | None,
        now_ms: int,
    ) -> tuple[bool, Sequence[Change]]:
        """Replace the data of a live session, unless `packed` is ``None``, and its limits.

        Raises:
            VersionConflict: the session is not at `if_version`.

        """
        # As `_current`: the call takes 1 % of an update.
        if known is not None and known.words[known.word] == known.noted:
            key, id_, head, old, subject = self._keys[known.key], known.id, known.head, known.packed, known.subject
            details = known.details
        elif (located := self.locate(reader.get, token)) is not None:
            key, id_ = located[:2]
            head, old, subject, details = self.opened(*located)
        else:
            return False, ()
        if limits is not NO_NEW_LIMITS or head[LIMITS] != NO_LIMITS_BYTES:
            live = relimited(head, limits, now_ms)
            if live is None:
                return False, ()
            head = live
        if if_version is not None and if_version != version_of(head):
            raise VersionConflict(if_version, version_of(head))
        if packed is None:
            packed = old
        else:
            head = with_next_version(head)
        if details is not None:
            return True, ((REPLACE, id_, seal_session(key.cipher, id_, head, packed, subject, details)),)
        if subject is not None:
            packed = join_payload(packed, subject)[1]
        return True, ((REPLACE, id_, key.cipher.seal(packed, id_ + head, head)),)

    def rotate(
        self,
        reader: Reader,
        token: str,
        known: Known | None,
        now_ns: int,
        packed: bytes | None = None,
        subject: str | KeepType | None = KEEP,
        limits: NewLimits = NO_NEW_LIMITS,
        if_version: int | None = None,
        new_details: NewDetails = NO_NEW_DETAILS,
    ) -> tuple[str | None, Sequence[Change]]:
        """Move a live session to a new token, of the newest key, and change what is not ``None`` or `KEEP`.

        It moves to the place of a new subject, and otherwise stays. A given subject is a login, which restarts the age
        of the session.

        Raises:
            VersionConflict: the session is not at `if_version`.

        """
        current = self._current(reader, token, known)
        if current is None:
            return None, ()
        key, id_, old, data, owner, details = current
        head, newest, place = old, self._newest, id_[PLACE]
        if limits is not NO_NEW_LIMITS or head[LIMITS] != NO_LIMITS_BYTES:
            live = relimited(head, limits, now_ns // NS_PER_MS)
            if live is None:
                return None, ()
            head = live
        if packed is not None or if_version is not None:
            head, data = _changed(head, data, packed, if_version)
        if subject is not KEEP:
            head = with_created(head, now_ns // NS_PER_MS)
        if subject is not KEEP and subject != owner:
            owner = subject
            tag, place = (NO_SUBJECT, place) if owner is None else (newest.subject_tag(owner), self.place_of(owner))
            head = with_subject_tag(head, tag)
        elif owner is not None and key is not newest:
            head = with_subject_tag(head, newest.subject_tag(owner))
        new = new_id(now_ns, place)
        if details is not None or new_details is not NO_NEW_DETAILS:
            old, details = ending_head(old, details), tagged(with_new(details, new_details), newest)
            head = with_details(head, details)
            record = seal_session(newest.cipher, new, head, data, owner, details)
            return newest.tokens.token(new), ((DELETE, id_, old), (INSERT, new, record))
        if owner is not None:
            data = join_payload(data, owner)[1]
        record = newest.cipher.seal(data, new + head, head)
        return newest.tokens.token(new), ((DELETE, id_, old), (INSERT, new, record))

    def rotate_within(
        self,
        reader: IndexReader,
        token: str,
        now_ns: int,
        packed: bytes | None,
        subject: str | KeepType | None,
        limits: NewLimits,
        if_version: int | None,
        new_details: NewDetails,
        limit: SessionLimit,
    ) -> tuple[str | None, Sequence[Change]]:
        """Rotate a session as `rotate` does, after the oldest others of its owner have ended, beyond a limit.

        Raises:
            TooManySessions: no session is to end, and there is no room.
            VersionConflict: the session is not at `if_version`.

        """
        new, changes = self.rotate(reader, token, None, now_ns, packed, subject, limits, if_version, new_details)
        current = self._current(reader, token, None)
        owner = subject if subject is not KEEP else current and current[4]
        if new is None or current is None or owner is None:
            return new, changes
        return new, (*self.make_room(reader, owner, limit, now_ns // NS_PER_MS, leaving=current[1]), *changes)

    def _current(
        self, reader: Reader, token: str, known: Known | None
    ) -> tuple[Key, bytes, bytes, bytes, str | None, Details | None] | None:
        """Return key, id, header, packed data, subject and details of a session, expired or not.

        They are from `known`, if it holds.
        """
        if known is not None and known.words[known.word] == known.noted:
            return self._keys[known.key], known.id, known.head, known.packed, known.subject, known.details
        located = self.locate(reader.get, token)
        if located is None:
            return None
        return *located[:2], *self.opened(*located)

    def is_placed(self, id_: bytes, record: bytes) -> bool:
        """Tell whether an id names the place of its session's subject, and one of our keys opens the record."""
        for key in self.keyring.newest_first:
            if opens(key, id_, record):
                subject = self.opened(key, id_, record)[2]
                return subject is None or self.place_of(subject) == id_[PLACE]
        return False


def _changed(head: bytes, data: bytes, packed: bytes | None, if_version: int | None) -> tuple[bytes, bytes]:
    """Return the header and the data after an update; `packed` ``None`` keeps both."""
    if if_version is not None and if_version != version_of(head):
        raise VersionConflict(if_version, version_of(head))
    return (head, data) if packed is None else (with_next_version(head), packed)
