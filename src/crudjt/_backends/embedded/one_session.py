"""Operations on one session, which are the hot path: the reason for what is written out here, and not called."""

from collections.abc import Iterable
from functools import partial
from typing import Any, Literal, overload

from crudjt._backends.embedded import remembered
from crudjt._backends.embedded.engine.control_block import cache_word
from crudjt._backends.embedded.limited import within_limit
from crudjt._backends.embedded.opened import OpenedStore
from crudjt._backends.embedded.read_cache import Cached
from crudjt._core.changes import DELETE, NOTHING, REPLACE, SESSION
from crudjt._core.clock import NS_PER_MS
from crudjt._core.codec import pack, unpack
from crudjt._core.details import NO_NEW_DETAILS, Client, changed_details, pack_details
from crudjt._core.header import LIMITS, NO_LIMITS_BYTES, Header, has_expired, still_until, unpack_header, unpack_limits
from crudjt._core.lookup import Found
from crudjt._core.session import Envelope, OlderEnvelope, Session
from crudjt._core.tokens import token_block
from crudjt._core.validation import (
    KEEP,
    NO_LIMITS,
    NO_NEW_LIMITS,
    Duration,
    KeepType,
    WhenFull,
    changed_limits,
    checked_subject,
    checked_version,
    new_limits,
    session_limit,
)
from crudjt.errors import StoreFull


class OneSession(OpenedStore):
    """The methods of a store in a directory that make, read, change and end one session."""

    def create(
        self,
        data: dict[Any, Any],
        ttl: Duration | None = None,
        max_reads: int | None = None,
        *,
        idle: Duration | None = None,
        subject: str | None = None,
        max_sessions: int | None = None,
        when_full: WhenFull = "end_oldest",
        client: Client | None = None,
        bound_to: str | None = None,
        labels: Iterable[str] = (),
    ) -> str:
        sessions = self._minting
        packed = pack(data, self._max_data_bytes)
        # The usual limits are written out here and in `update`: the call takes 1 % of a write.
        limits = NO_LIMITS if ttl is idle is max_reads is None else new_limits(ttl, idle, max_reads)
        if subject is not None:
            checked_subject(subject)
        clock = self._clock
        details = None
        if client is not None or bound_to is not None or labels != ():
            details = pack_details(client, bound_to, labels)
        if max_sessions is not None:
            limit = session_limit(max_sessions, when_full, subject)
            arguments = sessions.insert_within, packed, subject, limits, clock(), details, limit
            made: str = self._write(within_limit, *arguments)
            return made
        token, change = sessions.insert(packed, subject, limits, clock(), details)
        self._engine.write(None, (change,), self._durable)
        return token

    def read(self, token: str) -> Session | None:
        cached = self._cached
        try:
            entry = cached(token)
        except TypeError:  # not hashable, so no text
            entry = None
        if entry is not None:
            until_ns = entry.until_ns
            now_ns = self._clock() if until_ns else -1
            if self._words[entry.word] == entry.noted and now_ns < until_ns:
                entry.used = True
                return Session(unpack(entry.packed), None, entry, now_ns)
            return self._read_due(token, entry)
        return self._read_view(token)

    def read_or_defer(self, token: str) -> "Session | partial[Session | None] | None":
        """Read as `read` does, or return the call that does it where it has to write, and so may have to wait."""
        entry = self._cached(token) if isinstance(token, str) else None
        if entry is not None:
            until_ns = entry.until_ns
            now_ns = self._clock() if until_ns else -1
            if self._words[entry.word] == entry.noted and now_ns < until_ns:
                entry.used = True
                return Session(unpack(entry.packed), None, entry, now_ns)
            return self._read_due(token, entry, True)  # noqa: FBT003 - a keyword costs 1 % of a read
        return self._read_view(token, True)  # noqa: FBT003 - as above

    @overload
    def _read_due(self, token: str, entry: Cached) -> Session | None: ...

    @overload
    def _read_due(
        self, token: str, entry: Cached, defer: Literal[True]
    ) -> "Session | partial[Session | None] | None": ...

    def _read_due(self, token: str, entry: Cached, defer: bool = False) -> "Session | partial[Session | None] | None":
        """Read a session whose cache entry may not be served as it is."""
        now_ns = self._clock()
        if entry.words[entry.word] == entry.noted and not has_expired(entry.head, now_ns // NS_PER_MS):
            take = partial(self._take, token, entry, now_ns)
            return take if defer else take()
        self._cache.drop(token)
        return self._read_view(token, True) if defer else self._read_view(token)  # noqa: FBT003 - as above

    @overload
    def _read_view(self, token: str) -> Session | None: ...

    @overload
    def _read_view(self, token: str, defer: Literal[True]) -> "Session | partial[Session | None] | None": ...

    def _read_view(self, token: str, defer: bool = False) -> "Session | partial[Session | None] | None":
        words, clock = self._words, self._clock
        now_ns = clock()
        block = token_block(token)
        if block is None:
            return None
        sessions = self._sessions
        for number, key in enumerate(sessions.keyring.newest_first):
            id_ = key.tokens.id(block)
            word = cache_word(id_)
            noted = words[word]
            record, snapshot = self._engine.get_with_id(SESSION + id_)
            if record is None:
                continue
            head, packed, subject, details = sessions.opened(key, id_, record)
            until_ns = 0
            if head[LIMITS] != NO_LIMITS_BYTES:
                limits = unpack_limits(head)
                if 0 < limits[0] <= now_ns // NS_PER_MS:
                    return None
                until_ns = still_until(*limits) * NS_PER_MS
            entry = Cached(id_, head, subject, details, number, words, word, noted, until_ns, packed)
            stale = noted > snapshot  # a change may not be in it: see read_cache.py
            if until_ns and now_ns >= until_ns:
                take = partial(self._take, token, entry, now_ns, stale)
                return take if defer else take()
            data = unpack(packed)
            if stale:
                return Session(data, None, (OlderEnvelope if number else Envelope)(id_, head, subject, details), now_ns)
            self._cache.keep(token, entry)
            return Session(data, None, entry, now_ns)
        return None

    def _take(self, token: str, known: Cached, now_ns: int, stale: bool = False) -> Session | None:
        """Return a session whose read has to be counted, or extends its idle timeout."""
        sessions, id_, head, packed, details = self._sessions, known.id, known.head, known.packed, known.details
        header = Header(*unpack_header(head))
        try:
            if not stale:
                found = Found(sessions.keyring.newest_first[known.key], id_, head, header)
                session, change = sessions.taken(found, packed, known.subject, details, now_ns)
                # As in `update`: sealed before the lock is taken, and again in it if the session has changed since.
                number = self._engine.write(None, (change,), self._durable, True, False, known)  # noqa: FBT003 - as there
                if number:
                    if change[0] == REPLACE:
                        self._cache.replace(token, remembered.changed(known, change, packed, number))
                    else:
                        self._cache.drop(token)
                    return session
            self._cache.drop(token)
            return self._write(sessions.take, (token,), now_ns)[0]
        except StoreFull:
            if header.reads_left:
                raise
            # The idle deadline stays as it was: that is no reason to refuse the read.
            kind = OlderEnvelope if known.key else Envelope
            return Session(unpack(packed), None, kind(id_, head, known.subject, details), now_ns)

    def peek(self, token: str) -> Session | None:
        now_ns = self._clock()
        found = self._sessions.find_live(self._engine.get, token, now_ns // NS_PER_MS)
        return None if found is None else self._sessions.session(found, now_ns)

    def update(
        self,
        token: str,
        data: dict[Any, Any],
        ttl: Duration | KeepType | None = KEEP,
        max_reads: int | KeepType | None = KEEP,
        *,
        idle: Duration | KeepType | None = KEEP,
        if_version: int | None = None,
    ) -> bool:
        packed = pack(data, self._max_data_bytes)
        if if_version is not None:
            checked_version(if_version)
        limits = NO_NEW_LIMITS if ttl is idle is max_reads is KEEP else changed_limits(ttl, idle, max_reads)
        known, now_ms = self._known(token), self._clock() // NS_PER_MS
        change, engine, durable, cache = self._sessions.change, self._engine, self._durable, self._cache
        if known is not None:
            # Sealed before the write lock is taken, and again in it if another process has changed the session.
            changed, changes = change(NOTHING, token, known, packed, limits, if_version, now_ms)
            if changed and (number := engine.write(None, changes, durable, True, False, known)):  # noqa: FBT003 - keywords cost
                if if_version is not None:
                    cache.replace(token, remembered.changed(known, changes[0], packed, number))
                return True
        return engine.write(change, (token, None, packed, limits, if_version, now_ms), durable)

    def touch(
        self, token: str, ttl: Duration | KeepType | None = KEEP, *, idle: Duration | KeepType | None = KEEP
    ) -> bool:
        limits = changed_limits(ttl, idle, KEEP)
        known, now_ms = self._known(token), self._clock() // NS_PER_MS
        return self._engine.write(self._sessions.change, (token, known, None, limits, None, now_ms), self._durable)

    def rotate(
        self,
        token: str,
        *,
        data: dict[Any, Any] | None = None,
        subject: str | KeepType | None = KEEP,
        ttl: Duration | KeepType | None = KEEP,
        idle: Duration | KeepType | None = KEEP,
        if_version: int | None = None,
        max_sessions: int | None = None,
        when_full: WhenFull = "end_oldest",
        client: Client | KeepType | None = KEEP,
        bound_to: str | KeepType | None = KEEP,
        labels: Iterable[str] | KeepType = KEEP,
    ) -> str | None:
        packed = None if data is None else pack(data, self._max_data_bytes)
        if subject is not KEEP and subject is not None:
            checked_subject(subject)
        if if_version is not None:
            checked_version(if_version)
        limits, details = changed_limits(ttl, idle, KEEP), changed_details(client, bound_to, labels)
        known, now_ns = self._known(token), self._clock()
        if max_sessions is not None:
            limit = session_limit(max_sessions, when_full, subject)
            wishes = token, now_ns, packed, subject, limits, if_version, details, limit
            moved: str | None = self._write(within_limit, self._minting.rotate_within, *wishes)
            return moved
        rotate, engine, durable, cache = self._minting.rotate, self._engine, self._durable, self._cache
        wanted = packed, subject, limits, if_version, details
        if known is not None:  # as in `update`
            new, changes = rotate(NOTHING, token, known, now_ns, *wanted)
            if new is not None:
                entry = None
                if (packed is not None or subject is not KEEP) and details is NO_NEW_DETAILS:
                    entry = remembered.rotated(known, changes[1], subject, packed)
                if engine.write(None, changes, durable, True, False, known):  # noqa: FBT003 - keywords cost
                    if entry is not None:
                        cache.drop(token)
                        cache.keep(new, entry)
                    return new
        return engine.write(rotate, (token, None, now_ns, *wanted), durable)

    def delete(self, token: str) -> bool:
        engine, durable, cached = self._engine, self._durable, self._cached
        try:
            known = cached(token)  # `_known`, written out
        except TypeError:  # not hashable, so no text
            known = None
        if known is not None:
            known.used = False
            if known.words[known.word] == known.noted:
                head, until_ns = known.head, known.until_ns
                alive = not until_ns or not has_expired(head, self._clock() // NS_PER_MS)
                if engine.write(None, ((DELETE, known.id, head),), durable, True, False, known):  # noqa: FBT003 - keywords cost
                    return alive
        return engine.write(self._sessions.end, (token, self._clock() // NS_PER_MS), durable)

    def _known(self, token: str) -> Cached | None:
        """Return the cache entry of a session that is about to change, if it holds; the cache may drop it first."""
        cached = self._cached
        try:
            entry = cached(token)
        except TypeError:  # not hashable, so no text
            return None
        if entry is None:
            return None
        entry.used = False
        return entry if entry.words[entry.word] == entry.noted else None
