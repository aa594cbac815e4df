"""`MovingStore`: a store whose sessions are being moved, or will be, to another store.

Each call is carried out at the store that decides about its sessions; see `crudjt._core.moves`. Before a move begins,
that is the source, for which nothing changes.
"""

import builtins
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from os import PathLike
from typing import Any, TypeVar

from crudjt._backends.moving import steps
from crudjt._backends.moving.mover import check
from crudjt._backends.moving.ports import Destination, Source
from crudjt._backends.moving.steps import At, CallSteps, Outcome, Publish, StageNew, Swap
from crudjt._core.details import Client, checked_labels
from crudjt._core.labels import named
from crudjt._core.listing import Page, checked_listing, joined
from crudjt._core.moves import NO_EPOCH, Marked, Rotation, RotationRefused
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.tokens import PLACE
from crudjt._core.validation import KEEP, Duration, KeepType, SessionLimit, WhenFull, list_of_tokens, session_limit
from crudjt.base import Store
from crudjt.errors import InvalidType, StoreMoved, TooManySessions

Result = TypeVar("Result")
Calls = Callable[[Store], Any]
Subject = Callable[[], tuple[Any, Mapping[bytes, bytes]]]


class MovingStore(Store):
    """Two stores as one. A call about many sessions is carried out one session after another, once the move has begun.

    A process may keep it open before, during and after the move.
    """

    def __init__(self, source: Source, destination: Destination) -> None:
        """Take both stores, which are closed with this one; use `crudjt.open` with ``moving_to=`` instead."""
        self._source = source
        self._destination = destination
        self._is_checked = False

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
        token: str = self._make(lambda store: store.create(data, ttl, max_reads, idle=idle, **about))
        return token

    def read(self, token: str) -> Session | None:
        session: Session | None = self._of_one(lambda store: store.read(token))
        return session

    def peek(self, token: str) -> Session | None:
        session: Session | None = self._of_one(lambda store: store.peek(token))
        return session

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
        done: bool = self._of_one(
            lambda store: store.update(token, data, ttl, max_reads, idle=idle, if_version=if_version)
        )
        return done

    def touch(
        self, token: str, ttl: Duration | KeepType | None = KEEP, *, idle: Duration | KeepType | None = KEEP
    ) -> bool:
        done: bool = self._of_one(lambda store: store.touch(token, ttl, idle=idle))
        return done

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
        new: str | None = self._of_one(
            lambda store: store.rotate(token, **changes, ttl=ttl, idle=idle, if_version=if_version)
        )
        return new

    def delete(self, token: str) -> bool:
        done: bool = self._of_one(lambda store: store.delete(token))
        return done

    # Sessions of a subject

    def sessions(self, subject: str) -> Iterator[Session]:
        seen: set[str] = set()  # one that moves during the call is found at both
        here: list[Session] = self._of_subject(
            lambda: self._source.sessions_and_marks(subject),
            lambda store: list(store.sessions(subject)),
        )
        for session in here:
            if session.id not in seen:
                seen.add(session.id)
                yield session

    def revoke(self, subject: str | None = None, *, keep: str | None = None, label: str | None = None) -> int:
        names = named(subject, label)
        ended: int = self._of_subject(
            lambda: self._source.revoke_and_marks(names, keep),
            lambda store: store.revoke(subject, keep=keep, label=label),
        )
        return ended

    def revoke_id(self, id: str, *, subject: str | None = None) -> bool:  # noqa: A002 - named as Session.id is
        done: bool = self._of_one(lambda store: store.revoke_id(id, subject=subject))
        return done

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
        tokens: list[str] = self._make(
            lambda store: store.create_many(listed, ttl, max_reads, idle=idle, subject=subject)
        )
        return tokens

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
        counted: int = self._of_subject(
            lambda: self._source.count_and_marks(subject), lambda store: store.count(subject)
        )
        return counted

    def find(self, id: str) -> Session | None:  # noqa: A002 - named as Session.id is
        session: Session | None = self._of_one(lambda store: store.find(id))
        return session

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
        page: Page = self._of_subject(
            lambda: self._source.page_and_marks(wishes),
            lambda store: store.list(
                after=after, limit=limit, subject=subject, created_before=created_before, data=data
            ),
            lambda here, there: joined(limit, (here, there)),
        )
        return page

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

    # Steps

    def _of_one(self, call: Calls) -> Any:
        def at_source() -> Outcome:
            value = call(self._source.store)
            # Looked at after the call: until then nothing was at the destination.
            return Outcome(value, has_begun=not value and self._source.has_begun)

        return self._drive(steps.of_one_session(), at_source, call)

    def _make(self, call: Calls) -> Any:
        def at_source() -> Outcome:
            try:
                return Outcome(call(self._source.store))
            except StoreMoved:
                return Outcome(None, has_begun=True)

        return self._drive(steps.of_a_new_session(), at_source, call)

    def _of_subject(self, at_source: Subject, call: Calls, add: Callable[[Any, Any], Any] = operator.add) -> Any:
        def at_both() -> Outcome:
            return Outcome(*at_source(), has_begun=self._source.has_begun)  # as above

        return self._drive(steps.of_a_subject(add), at_both, call)

    def _drive(self, call_steps: CallSteps, at_source: Callable[[], Outcome], at_destination: Calls) -> Any:
        """Carry out the steps of a call."""
        answer: Any = None
        while True:
            try:
                step = call_steps.send(answer)
            except StopIteration as end:
                return end.value
            match step:
                case At.SOURCE:
                    answer = self._at_source(at_source)
                case At.DESTINATION:
                    answer = at_destination(self._joined().store)
                case Publish(marks):
                    # Else a failure could bring the records back after the sessions changed.
                    self._source.sync_marks(marks)
                    answer = self._joined().publish(marks)
                case StageNew(rotation):
                    answer = self._joined().stage(NO_EPOCH, {rotation.id: rotation.record})
                case Swap(rotation):
                    answer = self._swap(rotation)

    def _at_source(self, call: Callable[[], Outcome]) -> Outcome:
        try:
            return call()
        except Marked as met:
            return Outcome(None, {met.id: met.mark}, has_begun=True)
        except RotationRefused as met:
            return Outcome(None, has_begun=True, refused=met.rotation)

    def _swap(self, rotation: Rotation) -> bool:
        """Swap; where another subject has its place elsewhere, the new session may have been met before: end it."""
        swapped = False
        try:
            swapped = rotation.swap()
        finally:
            if not swapped and rotation.id[PLACE] != rotation.old[1][PLACE]:
                self._destination.publish(rotation.marks)
                self._destination.store.revoke_id(rotation.id.hex())
        return swapped

    def _joined(self) -> Destination:
        """Return the destination, once the move that has begun is known to be the one to it.

        Raises:
            StoreInaccessible: it is not. Another host may have a directory of the same name.

        """
        if not self._is_checked:
            check(self._source, self._destination)
            self._is_checked = True
        return self._destination
