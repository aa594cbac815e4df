"""Operations on many sessions: those of a subject or with a label, several at once, and all of them for operators."""

import builtins
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

from crudjt._backends.embedded.engine import filed
from crudjt._backends.embedded.listing import count_alive, everything, filed_under, newest_first
from crudjt._backends.embedded.opened import OpenedStore
from crudjt._core.changes import LABEL, SESSION, SUBJECT, Change, Decision
from crudjt._core.clock import NS_PER_MS
from crudjt._core.codec import pack
from crudjt._core.gil import in_batches
from crudjt._core.header import has_expired
from crudjt._core.key_uses import KeyUse, key_uses
from crudjt._core.keyring import Key
from crudjt._core.labels import Named, Tags, named
from crudjt._core.listing import Listing, Page, checked_listing, opened_session, page_of
from crudjt._core.lookup import Get
from crudjt._core.session import Session
from crudjt._core.tokens import random_place, token_block
from crudjt._core.validation import (
    Duration,
    checked_handle,
    checked_subject,
    list_of_tokens,
    new_limits,
)
from crudjt.errors import InvalidType, StoreFull

_BATCH = 500


class ManySessions(OpenedStore):
    """The methods of a store in a directory that make, read, list and end several sessions."""

    # Of a subject or with a label

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

    # In one transaction

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

    # For operators

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

    def _end(self, decide: Decision[int], items: Sequence[Any], *arguments: Any) -> int:
        """End sessions in one transaction, or where there is no room for it, in smaller ones; return the sum."""
        try:
            return self._write(decide, *arguments, items, self._now_ms())
        except StoreFull:
            if len(items) <= 1:
                raise
        half = len(items) // 2
        return self._end(decide, items[:half], *arguments) + self._end(decide, items[half:], *arguments)
