"""`MovingStore`: a store whose sessions are being moved, or will be, to another store.

Each call is carried out at the store that decides about its sessions; see `crudjt._core.moves`. Before a move begins,
that is the source, for which nothing changes.
"""

import builtins
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from os import PathLike
from typing import Any

from crudjt._backends.moving.driver import CallDriver
from crudjt._backends.moving.ports import Destination, Source
from crudjt._core.details import Client, checked_labels
from crudjt._core.labels import named
from crudjt._core.listing import Page, checked_listing, joined
from crudjt._core.moves import Marked
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.validation import KEEP, Duration, KeepType, SessionLimit, WhenFull, list_of_tokens, session_limit
from crudjt.base import Store
from crudjt.errors import InvalidType, StoreMoved, TooManySessions


class MovingStore(Store):
    """Two stores as one. A call about many sessions is carried out one session after another, once the move has begun.

    A process may keep it open before, during and after the move.
    """

    def __init__(self, source: Source, destination: Destination) -> None:
        """Take both stores, which are closed with this one; use `crudjt.open` with ``moving_to=`` instead."""
        self._source = source
        self._destination = destination
        self._calls = CallDriver(source, destination)

    @property
    def location(self) -> str:
        return self._source.store.location

    @property
    def durable(self) -> bool | None:
        return self._source.store.durable and self._destination.store.durable

    @property
    def max_data_bytes(self) -> int | None:
        limits = (self._source.store.max_data_bytes, self._destination.store.max_data_bytes)
        return min(limit for limit in limits if limit is not None)

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
        if max_sessions is not None:
            self._make_room(subject, session_limit(max_sessions, when_full, subject))
        about: dict[str, Any] = {"subject": subject, "client": client, "bound_to": bound_to}
        about["labels"] = checked_labels(labels)  # they may have to be read twice
        return self._calls.of_a_new_session(lambda store: store.create(data, ttl, max_reads, idle=idle, **about))

    def read(self, token: str) -> Session | None:
        return self._calls.of_one_session(lambda store: store.read(token))

    def peek(self, token: str) -> Session | None:
        return self._calls.of_one_session(lambda store: store.peek(token))

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
        return self._calls.of_one_session(
            lambda store: store.update(token, data, ttl, max_reads, idle=idle, if_version=if_version)
        )

    def touch(
        self, token: str, ttl: Duration | KeepType | None = KEEP, *, idle: Duration | KeepType | None = KEEP
    ) -> bool:
        return self._calls.of_one_session(lambda store: store.touch(token, ttl, idle=idle))

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
        if max_sessions is not None:
            limit = session_limit(max_sessions, when_full, subject)
            session = self.peek(token)
            if session is not None:
                self._make_room(session.subject if subject is KEEP else subject, limit, leaving=session.id)
        changes: dict[str, Any] = {"data": data, "subject": subject, "client": client, "bound_to": bound_to}
        changes["labels"] = labels if labels is KEEP else checked_labels(labels)
        return self._calls.of_one_session(
            lambda store: store.rotate(token, **changes, ttl=ttl, idle=idle, if_version=if_version)
        )

    def delete(self, token: str) -> bool:
        return self._calls.of_one_session(lambda store: store.delete(token))

    # Sessions of a subject

    def sessions(self, subject: str) -> Iterator[Session]:
        seen: set[str] = set()  # one that moves during the call is found at both
        here = self._calls.of_a_subject(
            lambda: self._source.sessions_and_marks(subject),
            lambda store: list(store.sessions(subject)),
        )
        for session in here:
            if session.id not in seen:
                seen.add(session.id)
                yield session

    def revoke(self, subject: str | None = None, *, keep: str | None = None, label: str | None = None) -> int:
        names = named(subject, label)
        return self._calls.of_a_subject(
            lambda: self._source.revoke_and_marks(names, keep),
            lambda store: store.revoke(subject, keep=keep, label=label),
        )

    def revoke_id(self, id: str, *, subject: str | None = None) -> bool:  # noqa: A002 - named as Session.id is
        return self._calls.of_one_session(lambda store: store.revoke_id(id, subject=subject))

    # Many sessions

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
        listed = list(data)  # it may have to be packed twice
        return self._calls.of_a_new_session(
            lambda store: store.create_many(listed, ttl, max_reads, idle=idle, subject=subject)
        )

    def read_many(self, tokens: Iterable[str]) -> builtins.list[Session | None]:
        listed = list_of_tokens(tokens)
        found: list[Session | None] = [None] * len(listed)
        with suppress(Marked):  # nothing was counted
            found = self._source.store.read_many(listed)
        if None not in found or not self._source.has_begun:
            return found
        return [self.read(token) if one is None else one for token, one in zip(listed, found, strict=True)]

    def delete_many(self, tokens: Iterable[str]) -> int:
        listed = list_of_tokens(tokens)
        ended = 0
        with suppress(Marked):  # nothing was ended
            ended = self._source.store.delete_many(listed)
        if not self._source.has_begun:
            return ended
        return ended + sum(self.delete(token) for token in listed)

    # The store

    def stats(self) -> Stats:
        """Return the counters of the source until the move begins, then those of the destination.

        The sessions of both are counted, and one that is on its way twice.
        """
        here = self._source.store.stats()
        if not self._source.has_begun:
            return here
        there = self._destination.store.stats()
        return replace(there, sessions=here.sessions + there.sessions)

    def sweep(self) -> int:
        swept = self._source.store.sweep()
        return swept + self._destination.store.sweep() if self._source.has_begun else swept

    def sync(self) -> None:
        self._source.store.sync()
        if self._source.has_begun:
            self._destination.store.sync()

    def backup(self, path: str | PathLike[str]) -> None:
        """Copy the store until the move begins.

        Raises:
            StoreMoved: it has begun: a copy of either store would hold a part of the sessions.

        """
        if self._source.has_begun:
            raise StoreMoved(self.location, "is being moved; back up the destination when the move has finished")
        self._source.store.backup(path)

    def close(self) -> None:
        try:
            self._source.store.close()
        finally:
            self._destination.store.close()

    # For operators

    def count(self, subject: str | None = None) -> int:
        """Count the sessions at both stores, and one that is on its way twice or not at all."""
        return self._calls.of_a_subject(
            lambda: self._source.count_and_marks(subject),
            lambda store: store.count(subject),
        )

    def find(self, id: str) -> Session | None:  # noqa: A002 - named as Session.id is
        return self._calls.of_one_session(lambda store: store.find(id))

    def list(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        subject: str | None = None,
        created_before: datetime | None = None,
        data: bool = False,
    ) -> Page:
        wishes = checked_listing(after, limit, subject, created_before, data=data)
        return self._calls.of_a_subject(
            lambda: self._source.page_and_marks(wishes),
            lambda store: store.list(
                after=after, limit=limit, subject=subject, created_before=created_before, data=data
            ),
            lambda here, there: joined(limit, (here, there)),
        )

    def __repr__(self) -> str:
        """Return both locations, without any data."""
        return f"<MovingStore {self._source.store.location!r} to {self._destination.store.location!r}>"

    def _make_room(self, subject: str | None, limit: SessionLimit, leaving: str = "") -> None:
        """End the oldest sessions of a subject, or refuse one more, before it begins.

        Not in its transaction: the sessions of a subject may be at both stores. So logins at the same time may be one
        too many.
        """
        if subject is not None:
            others = sorted((each.created_at, each.id) for each in self.sessions(subject) if each.id != leaving)
            surplus = len(others) + 1 - limit.max_sessions
            if surplus > 0 and limit.refuse:
                raise TooManySessions(limit.max_sessions)
            for _, id_ in others[: max(surplus, 0)]:
                self.revoke_id(id_, subject=subject)
