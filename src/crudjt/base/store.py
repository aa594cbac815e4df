"""`Store`: the interface of a store, and its documentation."""

import builtins  # for annotations in classes that have a method `list`: Python 3.14 evaluates them late
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import Any, Literal, NoReturn, TypeVar

from crudjt._core.details import Client
from crudjt._core.events import NO_EVENTS, Event, checked_position
from crudjt._core.listing import Page
from crudjt._core.models import Data, Migrate
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.validation import KEEP, Duration, KeepType, WhenFull
from crudjt.base.async_store import NOT_PICKLED, AsyncStore
from crudjt.base.typed import TypedStore
from crudjt.errors import StoreInaccessible

Writes = Literal["auto", "inline", "thread"]
"""Where an `AsyncStore` of an embedded store does its writes: on the thread of the event loop, or in another."""

AnyStore = TypeVar("AnyStore", bound="Store")


class Store(ABC):
    """An open token store. Threads may share it, and forked children may go on using it.

    Every method raises `StoreClosed` after `close`, and another `StoreError` if the store fails. A duration is a number
    of seconds, whole or not, or a `datetime.timedelta`. Data is a dict, whose values come back equal
    and of their types; `docs/types.md` lists those that can be stored.

    What one transaction can hold is a property of the backend. In a directory it is a whole call. In Valkey or Redis
    servers it is what lies at one place: all sessions of a subject, or one session that has none; `docs/guarantees.md`
    compares them.
    """

    @property
    @abstractmethod
    def location(self) -> str:
        """The location that `crudjt.open` takes to open the same store: the path of a directory, or a URL."""

    @property
    @abstractmethod
    def durable(self) -> bool | None:
        """Whether each change is on disk when its call returns; ``None`` if only the server knows."""

    @property
    @abstractmethod
    def max_data_bytes(self) -> int | None:
        """The largest data of a session, in bytes of MessagePack; ``None`` if only the server knows."""

    # One session

    @abstractmethod
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
        """Create a session and return its token: 22 random URL-safe characters.

        Args:
            data: the data of the session.
            ttl: the absolute lifetime, in seconds or as a `timedelta`; ``None`` for no end.
            max_reads: how often the session can be read, over all processes; ``None`` for any number.
            idle: the session ends when it is not read for so long.
            subject: the owner of the session, such as a user id; for `sessions` and `revoke`.
            max_sessions: how many live sessions the subject may have with this one (OWASP ASVS 5.0, 7.1.2); ``None``
                for any number. It is exact over all processes and hosts, but for a store that is opened with
                ``moving_to=``: there logins at the same time may be one too many.
            when_full: what happens where the subject has `max_sessions` already: ``"end_oldest"`` ends those that were
                created first, in the same transaction; ``"refuse"`` raises `TooManySessions`.
            client: the client of the session, for `Session.client`: personal data, which is kept sealed and for the
                life of the session. A `Client` without address and agent is as ``None``.
            bound_to: the JWK thumbprint (RFC 7638, SHA-256) of the key that the caller has to prove, for
                `Session.bound_to`. The store keeps it; whoever reads the session checks the proof.
            labels: texts that `revoke` finds the session by, such as ``"sid:…"`` of an identity provider: at most 8, of
                1 to 256 bytes each.

        Raises:
            InvalidParameter: a parameter is out of range; `DataTooLarge` if it is the size of `data`.
            TooManySessions: the subject has `max_sessions` already, and `when_full` is ``"refuse"``.

        """

    @abstractmethod
    def read(self, token: str) -> Session | None:
        """Return the session of a token, or ``None`` if it is unknown, expired or used up.

        Counts as one of `max_reads`, and restarts the idle timeout.
        """

    @abstractmethod
    def peek(self, token: str) -> Session | None:
        """Return what `read` would, without counting the read or restarting the idle timeout."""

    @abstractmethod
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
        """Replace the data of a live session, and each limit that is given; return whether there was such a session.

        A `ttl` counts from now. `KEEP` leaves a limit as it is, ``None`` removes it. A session that has ended stays
        ended.

        Args:
            token: the token of the session.
            data: the new data.
            ttl: as in `create`.
            max_reads: as in `create`.
            idle: as in `create`.
            if_version: the `Session.version` that the caller has seen.

        Raises:
            VersionConflict: the session has been updated since `if_version`.
            InvalidParameter: a parameter is out of range.

        """

    @abstractmethod
    def touch(
        self, token: str, ttl: Duration | KeepType | None = KEEP, *, idle: Duration | KeepType | None = KEEP
    ) -> bool:
        """Change the limits of a live session and restart its idle timeout; return whether there was such a session.

        The data and its version stay. Limits as in `update`.
        """

    @abstractmethod
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
        """Move a live session to a new token and return it; ``None`` if there is no such session.

        The old token ends in the same transaction; in servers, where another subject may lie at another place, just
        after the new session is there and before this returns its token. Call it at login and at every change of
        privilege (OWASP ASVS 5.0, 7.2.4). `Session.id` changes with the token. Without more parameters data, limits,
        subject and version stay; a login passes the new owner, and data if it changes, so that no process ever sees one
        without the other. It counts as activity: the idle timeout restarts.

        Args:
            token: the token of the session.
            data: the new data, which raises `Session.version` as `update` does; ``None`` keeps data and version.
            subject: the new owner, ``None`` for none; `KEEP` keeps the owner. Any other value, also the owner that it
                has, begins the session again: `Session.created_at` is the time of this call.
            ttl: as in `update`.
            idle: as in `update`.
            if_version: as in `update`.
            max_sessions: as in `create`, for the owner that the session has afterwards, if any. In servers, where
                another owner may lie at another place, its oldest sessions end with the new one's begin.
            when_full: as in `create`.
            client: the new client, ``None`` for none; `KEEP` keeps it, as `update` and `touch` do.
            bound_to: the new thumbprint of a key, likewise.
            labels: the new labels in place of all that it has, likewise; ``()`` for none.

        Raises:
            VersionConflict: the session has been updated since `if_version`.
            InvalidParameter: a parameter is out of range; `DataTooLarge` if it is the size of `data`.
            TooManySessions: as in `create`; the session stays as it was.

        """

    @abstractmethod
    def delete(self, token: str) -> bool:
        """End a session; return whether there was one."""

    # Sessions of a subject

    @abstractmethod
    def sessions(self, subject: str) -> Iterator[Session]:
        """Yield the live sessions of a subject, with their `Session.id` and data, never their tokens.

        A session that starts or ends during the iteration may be missed or included.
        """

    @abstractmethod
    def revoke(self, subject: str | None = None, *, keep: str | None = None, label: str | None = None) -> int:
        """End the sessions of a subject, those with a label, or those of a subject that have a label.

        Returns how many were alive. When it returns, no session that is named and existed before the call is alive in
        any process. A large number of sessions takes several transactions. In servers the sessions of a label and its
        index lie at different places: a failover that loses acknowledged writes of one of them may leave sessions that
        `label` does not find, until ``crudjt doctor --repair`` has filed them again.

        Args:
            subject: the owner; ``None`` for any and none.
            keep: the token of a session that goes on.
            label: one of `Session.labels`; ``None`` for sessions with any labels and none.

        Raises:
            InvalidParameter: neither a subject nor a label is given, or one is out of range.

        """

    @abstractmethod
    def revoke_id(self, id: str, *, subject: str | None = None) -> bool:  # noqa: A002 - named as Session.id is
        """End one session by its `Session.id`; return whether there was one.

        Args:
            id: the `Session.id`.
            subject: end it only if this is its subject, so that no user can end the session of another.

        """

    # Many sessions at once

    @abstractmethod
    def create_many(
        self,
        data: Iterable[dict[Any, Any]],
        ttl: Duration | None = None,
        max_reads: int | None = None,
        *,
        idle: Duration | None = None,
        subject: str | None = None,
    ) -> builtins.list[str]:
        """Create a session for each item of `data`, all or none; return their tokens in order.

        The other parameters are as in `create`, and the same for each session. In servers each 500 are one transaction;
        if a later one fails, the sessions of the earlier ones are ended.
        """

    @abstractmethod
    def read_many(self, tokens: Iterable[str]) -> builtins.list[Session | None]:
        """Read many tokens; return the results of `read` in order.

        An embedded store reads all of them in one transaction, a server those of 8 MiB of data, Valkey or Redis servers
        those of each place: if such a call fails, some reads may have been counted.
        """

    @abstractmethod
    def delete_many(self, tokens: Iterable[str]) -> int:
        """End many sessions in one transaction, or where there is no room for it, in several.

        Returns how many were alive. In servers the sessions of each place end in one transaction.
        """

    # The store

    @abstractmethod
    def stats(self) -> Stats:
        """Return counters of the whole store. Cheap enough to be called often.

        In servers the sessions are counted one by one: some 800,000 in a second.
        """

    @abstractmethod
    def sweep(self) -> int:
        """Remove expired sessions now instead of at the next `sweep_interval`; return how many.

        An expired session is never served; sweeping only frees its space. Returns 0 while another process is sweeping
        or compacting. Servers remove a session by themselves 10 s after its end.
        """

    @abstractmethod
    def sync(self) -> None:
        """Wait until every change made before the call is on disk.

        Raises:
            StoreFailed: the disk refused. Every process must close the store; it is recovered when it is reopened.
            StoreUnavailable: servers had it not on disk in time, or not on as many replicas as endings require.

        """

    @abstractmethod
    def backup(self, path: str | PathLike[str]) -> None:
        """Write a consistent copy of the store to a new directory, while other callers go on reading and writing.

        The copy opens as a store, with the same secret key.

        Raises:
            StoreInaccessible: `path` exists and is not an empty directory, or cannot be written.

        """

    @abstractmethod
    def close(self) -> None:
        """Sync and close the store. Does nothing if it is closed; every other method raises `StoreClosed` then.

        An embedded store that is collected without it is closed soon after, and all stores at the end of the process.
        """

    # For operators. `list` comes last, since it hides the type in the annotations below it.

    def events(self, after: str | None = None, *, follow: bool = True) -> Iterator[Event]:  # noqa: ARG002 - for backends
        """Yield what is committed to the store by any process, in order, as it happens.

        Only stores in a directory, and servers of one, have events; they cost writers nothing. The iterator reads the
        log: it waits for the next event, and sees it within some 0.1 s. It goes on behind an `Event.position`, also in
        another process, as long as the log has what follows: a compaction removes older entries, and a power failure
        may take the last ones. Then it yields an event of the kind ``"gap"``, and goes on behind it.

        Args:
            after: the `Event.position` to go on behind; ``None`` for what is committed from now on; ``"oldest"`` for
                all that is still in the log.
            follow: wait for more; else the iteration ends with what is committed now.

        Raises:
            StoreInaccessible: the store has no events, as one in Valkey or Redis servers, or one that is being moved.
            InvalidParameter: `after` has not the form of a position.

        """
        checked_position(after)
        raise StoreInaccessible(self.location, NO_EVENTS)

    @abstractmethod
    def count(self, subject: str | None = None) -> int:
        """Return how many sessions are alive, or how many of a subject.

        All are looked at, one by one: a million takes a second in a directory, and several in servers. `stats` has a
        count that costs nothing in a directory and includes sessions that have expired. Without a subject, sessions of
        secret keys that this process does not have count too.
        """

    @abstractmethod
    def find(self, id: str) -> Session | None:  # noqa: A002 - named as Session.id is
        """Return the live session of a `Session.id`, with its data; ``None`` if there is none.

        Does not count as a read. A session of a secret key that this process does not have is not found.
        """

    @abstractmethod
    def list(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        subject: str | None = None,
        created_before: datetime | None = None,
        data: bool = False,
    ) -> Page:
        """Return the live sessions, newest first, one page at a time.

        The order is that of `Session.id`: by the time at which a session got its token, in `create` or the last
        `rotate`. A session that is neither ended nor rotated while its pages are read is on exactly one of them. One
        that is rotated then may be missed. One that is made then comes before the first page. Nothing is kept between
        calls, so `Page.next` is good for any time.

        A page is read in short transactions. It takes as long as what it has to pass over: expired sessions, those of
        secret keys that this process does not have, and those that `created_before` leaves out. Servers, which have no
        order, look at all their keys for each page, unless there is a subject.

        Args:
            after: the `Page.next` of the page before; ``None`` for the newest sessions.
            limit: the most sessions of the page, from 1 to 1000.
            subject: list the sessions of this subject only.
            created_before: list those with an earlier `Session.created_at`; it must have a time zone.
            data: read the data too. Without it, `Session.data` raises `AttributeError`.

        Raises:
            InvalidParameter: a parameter is out of range.

        """

    def asynchronous(self, *, writes: Writes = "auto") -> AsyncStore | None:  # noqa: ARG002 - for backends
        """Return an `AsyncStore` of this store, or ``None`` if the backend has none; `crudjt.aio.wrap` calls it.

        Closing either closes both.

        Args:
            writes: as in `crudjt.aio.open`; a backend that always awaits ignores it.

        """
        return None

    def typed(self, model: type[Data], *, migrate: Migrate | None = None) -> TypedStore[Data]:
        """Return a view of this store whose data are instances of a model.

        Args:
            model: a msgspec Struct, a dataclass, a TypedDict or a pydantic model (version 2).
            migrate: called with data that does not fit the model, such as that of an older version of it; returns data
                that does, or an instance. What is stored stays as it is until the next `update`. Without it, such a
                session raises `DataMismatch`.

        Raises:
            InvalidType: `model` is none of these, or has a field of a type that cannot be stored.

        """
        return TypedStore(self, model, migrate)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError(NOT_PICKLED)

    def __enter__(self: AnyStore) -> AnyStore:
        """Return the store; it is closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()
