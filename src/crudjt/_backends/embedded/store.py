"""`EmbeddedStore`: a store in a directory, which every process of the host opens itself."""

import builtins
import logging
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

from crudjt._backends.embedded import remembered
from crudjt._backends.embedded.engine import backup, filed, known_keys, moving, registry, sweep
from crudjt._backends.embedded.engine.control_block import cache_word
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.events import EventLog
from crudjt._backends.embedded.limited import within_limit
from crudjt._backends.embedded.listing import count_alive, everything, filed_under, newest_first
from crudjt._backends.embedded.read_cache import Cached, ReadCache
from crudjt._backends.embedded.stats import read_stats
from crudjt._core.changes import DELETE, LABEL, NOTHING, SESSION, SUBJECT, Change, Decision, Result
from crudjt._core.clock import NS_PER_MS
from crudjt._core.codec import pack, unpack
from crudjt._core.details import NO_NEW_DETAILS, Client, Details, changed_details, pack_details
from crudjt._core.events import Event, checked_position
from crudjt._core.gil import in_batches
from crudjt._core.header import HEADER_BYTES, LIMITS, NO_LIMITS_BYTES, Header, has_expired, unpack_header
from crudjt._core.key_uses import KeyUse, key_uses
from crudjt._core.keyring import Key, Keyring
from crudjt._core.labels import Named, Tags, named
from crudjt._core.listing import Listing, Page, checked_listing, opened_session, page_of
from crudjt._core.lookup import Found, Get
from crudjt._core.operations import Sessions
from crudjt._core.options import Options
from crudjt._core.session import Envelope, OlderEnvelope, Session
from crudjt._core.stats import Stats
from crudjt._core.tokens import random_place, token_block
from crudjt._core.validation import (
    KEEP,
    NO_LIMITS,
    NO_NEW_LIMITS,
    Duration,
    KeepType,
    WhenFull,
    changed_limits,
    checked_handle,
    checked_subject,
    checked_version,
    list_of_tokens,
    new_limits,
    session_limit,
)
from crudjt.base import Store, Writes
from crudjt.errors import InvalidType, StoreClosed, StoreCorrupt, StoreFull

if TYPE_CHECKING:  # asyncio takes long to import
    from crudjt._backends.embedded.async_store import AsyncEmbeddedStore

logger = logging.getLogger("crudjt.secret_key")

_BATCH = 500


class _Closed:
    """Replaces the engine after close(): any use raises StoreClosed."""

    def __getattr__(self, _name: str) -> NoReturn:
        raise StoreClosed


class _Unnoted:
    """Makes sessions while the manifest lacks a key: any use notes the keys first, and then never comes here again."""

    def __init__(self, store: "EmbeddedStore") -> None:
        self._store = weakref.ref(store)

    def __getattr__(self, name: str) -> object:
        store = self._store()
        assert store is not None, "a method of the store is running"
        return getattr(store.noted_sessions(), name)


def _refuse(_token: str) -> NoReturn:
    raise StoreClosed


class EmbeddedStore(Store):
    """A store in a directory. Reads are cached in the process; writes go through one lock for all processes."""

    def __init__(self, directory: Path, secrets: Sequence[bytes], options: Options) -> None:
        """Open or create the store in a directory; use `crudjt.open` instead."""
        engine = registry.acquire(directory, options)
        try:
            self._refuse_moves(engine)
            keyring = Keyring(secrets, engine.salt)
            found = known_keys.find_keys(engine, keyring)
            if not found.known:
                logger.warning(
                    "%s: its sessions are not found: none was made with this secret key; add the one that did",
                    directory,
                )
        except BaseException:
            registry.release(engine, options)
            raise
        self._directory = directory
        self._options = options
        self._engine: Engine = engine
        self._key_is_known = found.known
        self._sessions = Sessions(keyring, found.placement, partial(_damaged, directory))
        unnoted: Any = _Unnoted(self)
        self._minting: Sessions = self._sessions if found.noted else unnoted  # what makes sessions under the newest key
        self._clock = options.clock
        self._max_data_bytes = options.max_data_bytes
        self._durable = options.durability == "full"
        self._cache = ReadCache(options.max_cache_bytes)
        self._cached = self._cache.get
        self._words = engine.words
        self._abandon = weakref.finalize(self, registry.abandon, (engine, options))
        self._abandon.atexit = False

    @property
    def location(self) -> str:
        return str(self._directory)

    @property
    def durable(self) -> bool:
        return self._durable

    @property
    def max_data_bytes(self) -> int:
        return self._max_data_bytes

    # One session

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
            self._cache.drop(token)
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
            self._cache.drop(token)
        return self._read_view(token, True)  # noqa: FBT003 - a keyword costs 1 % of a read

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
            until = 0
            if head[LIMITS] != NO_LIMITS_BYTES:
                header, now_ms = Header(*unpack_header(head)), now_ns // NS_PER_MS
                if not header.alive(now_ms):
                    return None
                until = header.still_until()
                if header.reads_left or 0 < until <= now_ms:
                    take = partial(self._take, token, Found(key, id_, record, header), packed, subject, details, now_ns)
                    return take if defer else take()
            data = unpack(packed)
            if noted > snapshot:  # a change may not be in it: see read_cache.py
                return Session(data, None, (OlderEnvelope if number else Envelope)(id_, head, subject, details), now_ns)
            entry = Cached(id_, head, subject, details, number, words, word, noted, until * NS_PER_MS, packed)
            self._cache.keep(token, entry)
            return Session(data, None, entry, now_ns)
        return None

    def _take(
        self, token: str, found: Found, packed: bytes, subject: str | None, details: Details | None, now_ns: int
    ) -> Session | None:
        """Return a session whose read has to be counted, or extends its idle timeout."""
        taken = self._sessions.taken(found, packed, subject, details, now_ns)
        try:
            return self._write(self._sessions.take_as_found, token, found.record, *taken, now_ns)
        except StoreFull:
            if found.header.reads_left:
                raise
            # The idle deadline stays as it was: that is no reason to refuse the read.
            kind = Envelope if found.key is self._sessions.keyring.newest else OlderEnvelope
            envelope = kind(found.id, found.record[:HEADER_BYTES], subject, details)
            return Session(unpack(packed), None, envelope, now_ns)

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
                    entry = remembered.changed(known, changes[0], packed, number, now_ms)
                    if entry is not None:
                        cache.replace(token, entry)
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
                    entry = remembered.rotated(known, changes[1], subject, packed, now_ns // NS_PER_MS)
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
            head, until_ns = known.head, known.until_ns
            alive = not until_ns or not has_expired(head, self._clock() // NS_PER_MS)
            if engine.write(None, ((DELETE, known.id, head),), durable, True, False, known):  # noqa: FBT003 - keywords cost
                return alive
        return engine.write(self._sessions.end, (token, self._clock() // NS_PER_MS), durable)

    # Sessions of a subject

    def sessions(self, subject: str) -> Iterator[Session]:
        checked_subject(subject)
        yield from self._listed(subject, self._engine.get)

    def revoke(self, subject: str | None = None, *, keep: str | None = None, label: str | None = None) -> int:
        found = self._to_end(named(subject, label), keep)
        sessions = self._sessions
        return sum(self._end(filed.end_filed, ids, sessions, key, tags, as_of) for key, tags, ids, as_of in found)

    def revoke_id(self, id: str, *, subject: str | None = None) -> bool:  # noqa: A002 - named as Session.id is
        handle = checked_handle(id)
        if subject is not None:
            checked_subject(subject)
        return self._write(self._sessions.end_id, handle, subject, self._now_ms())

    def _listed(self, subject: str, get: Get) -> Iterator[Session]:
        """Yield the live sessions of a subject among the records that `get` returns."""
        for key, _, ids, _ in self._filed(Named(subject, None)):
            for id_ in ids:
                found = self._sessions.find_id(get, key, id_)
                if found is not None:
                    now_ns = self._clock()
                    session = self._sessions.session(found, now_ns)
                    if found.header.alive(now_ns // NS_PER_MS):
                        yield session

    def _to_end(self, names: Named, keep: str | None) -> Iterator[tuple[Key, Tags, builtins.list[bytes], int]]:
        """Yield ids for `revoke`, as `_filed` does; the caller ends each list before it takes the next.

        It looks again until there is nothing new: a session that is rotated in the scan may move to a scanned place.
        """
        block = None if keep is None else token_block(keep, "keep")
        tried = set[bytes]()
        while True:
            before = len(tried)
            for key, tags, ids, as_of in self._filed(names):
                kept = None if block is None else key.tokens.id(block)
                new = ids
                if kept is not None or tried:
                    new = [id_ for id_ in ids if id_ != kept and id_ not in tried]
                if new:
                    yield key, tags, new, as_of if len(new) == len(ids) else 0
                    tried.update(new)
            if len(tried) == before:
                return

    def _filed(self, names: Named) -> Iterator[tuple[Key, Tags, builtins.list[bytes], int]]:
        """Yield the ids of a subject or a label, by key and tags, and the id of the snapshot that has just these.

        The newest key comes last: a rotate moves a session to it, which must not escape to a place that was looked at.
        """
        for key in reversed(self._sessions.keyring.newest_first):
            tags = names.tags(key)
            start = prefix = SUBJECT + (tags.subject or b"") if tags.label is None else LABEL + tags.label
            while True:
                ids, as_of = self._engine.endings_with_id(prefix, start, _BATCH)
                if ids:
                    yield key, tags, ids, as_of
                if len(ids) < _BATCH:
                    break
                start = prefix + ids[-1] + b"\x00"

    # Many sessions in one transaction

    def create_many(
        self,
        data: Iterable[dict[Any, Any]],
        ttl: Duration | None = None,
        max_reads: int | None = None,
        *,
        idle: Duration | None = None,
        subject: str | None = None,
    ) -> builtins.list[str]:
        if not isinstance(data, Iterable):
            raise InvalidType("data", f"data must be an iterable of dicts, not {type(data).__name__}")
        limits = new_limits(ttl, idle, max_reads)
        if subject is not None:
            checked_subject(subject)
        place = random_place() if subject is None else None
        tokens: list[str] = []
        changes: list[Change] = []
        for item in in_batches(data):
            packed = pack(item, self._max_data_bytes)
            token, change = self._minting.insert(packed, subject, limits, self._clock(), None, place)
            tokens.append(token)
            changes.append(change)
        self._engine.write(None, changes, self._durable)
        return tokens

    def read_many(self, tokens: Iterable[str]) -> builtins.list[Session | None]:
        listed, now_ns = list_of_tokens(tokens), self._clock()
        try:
            return self._write(self._sessions.take, listed, now_ns)
        except StoreFull:  # as in `_take`
            return self._write(partial(self._sessions.take, extend=False), listed, now_ns)

    def delete_many(self, tokens: Iterable[str]) -> int:
        return self._end(self._sessions.end_many, list_of_tokens(tokens))

    # The store

    def stats(self) -> Stats:
        return read_stats(self._engine, self._cache)

    def sweep(self, *, looked_at: Callable[[int], object] = lambda _sessions: None) -> int:
        """Report each batch of sessions that was looked at by their number, for a caller that shows progress."""
        return sweep.sweep(self._engine, self._clock, looked_at=looked_at)

    def sync(self) -> None:
        self._engine.sync()

    def backup(self, path: str | PathLike[str]) -> None:
        backup.backup(self._engine, Path(path))

    def close(self) -> None:
        engine = self._engine
        if isinstance(engine, _Closed):
            return
        closed: Any = _Closed()  # takes the place of any part, so that every use raises
        refuse: Any = _refuse
        self._engine = self._cache = self._sessions = self._minting = closed
        self._cached = refuse
        self._abandon.detach()
        registry.release(engine, self._options)

    # For operators

    def events(self, after: str | None = None, *, follow: bool = True) -> Iterator[Event]:
        return chain.from_iterable(self.event_batches(after, follow=follow))

    def event_batches(
        self, after: str | None, *, follow: bool, wait: Callable[[float], None] = time.sleep
    ) -> Iterator[builtins.list[Event]]:
        """Yield events in lists, for callers that wait in another way; an empty one after each wait."""
        log = EventLog(lambda: self._engine, self._sessions.keyring, self._clock, checked_position(after))
        return log.batches(follow=follow, wait=wait)

    def key_uses(self) -> builtins.list[KeyUse]:
        """Return how many live sessions each secret key has, oldest first."""
        return key_uses(self._sessions.keyring, everything(self._engine.scan), self._clock)

    def count(self, subject: str | None = None) -> int:
        if subject is None:
            return count_alive(everything(self._engine.scan), self._now_ms())
        return count_alive(filed_under(self._ids(checked_subject(subject)), self._engine.get), self._now_ms())

    def find(self, id: str) -> Session | None:  # noqa: A002 - named as Session.id is
        id_, now_ns = checked_handle(id), self._clock()
        record = self._engine.get(SESSION + id_)
        if record is None or has_expired(record, now_ns // NS_PER_MS):
            return None
        return opened_session(self._sessions.keyring, id_, record, now_ns)

    def list(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        subject: str | None = None,
        created_before: datetime | None = None,
        data: bool = False,
    ) -> Page:
        return self._page(checked_listing(after, limit, subject, created_before, data=data), self._engine.get)

    def _page(self, wishes: Listing, get: Get) -> Page:
        keyring = self._sessions.keyring
        return page_of(wishes, keyring, newest_first(self._engine.scan_back, get, keyring, wishes), self._clock())

    def _ids(self, subject: str) -> Iterator[bytes]:
        return chain.from_iterable(ids for _, _, ids, _ in self._filed(Named(subject, None)))

    def asynchronous(self, *, writes: Writes = "auto") -> "AsyncEmbeddedStore":
        from crudjt._backends.embedded.async_store import AsyncEmbeddedStore  # noqa: PLC0415 - asyncio takes long to import

        return AsyncEmbeddedStore(self, writes=writes)

    def __repr__(self) -> str:
        """Return the location and state, without any data."""
        state = "closed" if isinstance(self._engine, _Closed) else "open"
        return f"<EmbeddedStore {str(self._directory)!r} {state}>"

    @property
    def key_is_known(self) -> bool:
        """Whether one of the secret keys has made a session here, or none has yet."""
        return self._key_is_known

    def find_lock(self) -> None:
        """Prepare `writes_at_once`. It may have to wait, as a write."""
        self._engine.find_lock()

    def writes_at_once(self) -> bool:
        """Tell whether a small write would wait for nothing now. The first session under a new key waits for files."""
        return self._engine.is_free() and self._minting is self._sessions

    # What the methods share

    def _refuse_moves(self, engine: Engine) -> None:
        """Refuse a store whose sessions are being moved from it or to it."""
        engine.refuse_move()
        moving.refuse_arrival(engine)

    def noted_sessions(self) -> Sessions:
        """Note the keys in the manifest, before one of them makes its first session."""
        sessions = self._sessions
        placement = known_keys.note_keys(self._engine, sessions.keyring)
        self._key_is_known = True
        self._sessions = self._minting = Sessions(sessions.keyring, placement, partial(_damaged, self._directory))
        return self._minting

    def _now_ms(self) -> int:
        clock = self._clock
        return clock() // NS_PER_MS

    def _known(self, token: str) -> Cached | None:
        """Remove and return the cache entry of a session that is about to change."""
        cached = self._cached
        try:
            entry = cached(token)
        except TypeError:  # not hashable, so no text
            return None
        if entry is not None:
            entry.used = False
        return entry

    def _end(self, decide: Decision[int], items: Sequence[Any], *arguments: Any) -> int:
        """End sessions in one transaction, or where there is no room for it, in smaller ones; return the sum."""
        try:
            return self._write(decide, *arguments, items, self._now_ms())
        except StoreFull:
            if len(items) <= 1:
                raise
        half = len(items) // 2
        return self._end(decide, items[:half], *arguments) + self._end(decide, items[half:], *arguments)

    def _write(self, decide: Decision[Result], *arguments: Any) -> Result:
        return self._engine.write(decide, arguments, self._durable)


def _damaged(directory: Path, id_: bytes) -> StoreCorrupt:
    return StoreCorrupt(directory, 0, f"the record of session {id_.hex()} is damaged")
