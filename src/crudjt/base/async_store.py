"""`AsyncStore`: the interface of a store whose methods are awaited."""

import builtins
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import Any, NoReturn, TypeVar

from crudjt._core.details import Client
from crudjt._core.events import NO_EVENTS, Event, checked_position
from crudjt._core.listing import Page
from crudjt._core.models import Data, Migrate
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.validation import KEEP, Duration, KeepType, WhenFull
from crudjt.base.async_typed import AsyncTypedStore
from crudjt.errors import StoreInaccessible

NOT_PICKLED = "a store cannot be pickled or copied; pass on its location, and open it in each process"

AnyAsyncStore = TypeVar("AnyAsyncStore", bound="AsyncStore")


class AsyncStore(ABC):
    """An open token store for asyncio and trio. Each method does what the method of `Store` with its name does.

    A call that is cancelled has been carried out completely, or not at all; which of the two is not known. So a session
    may exist whose token was never received, and a read may have been counted.
    """

    @property
    @abstractmethod
    def location(self) -> str:
        """The location that `crudjt.aio.open` takes to open the same store."""

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
    async def create(
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
        """Create a session and return its token; see `Store.create`."""

    @abstractmethod
    async def read(self, token: str) -> Session | None:
        """Return the session of a token, or ``None``; see `Store.read`."""

    @abstractmethod
    async def peek(self, token: str) -> Session | None:
        """Return what `read` would, without counting the read or restarting the idle timeout."""

    @abstractmethod
    async def update(
        self,
        token: str,
        data: dict[Any, Any],
        ttl: Duration | KeepType | None = KEEP,
        max_reads: int | KeepType | None = KEEP,
        *,
        idle: Duration | KeepType | None = KEEP,
        if_version: int | None = None,
    ) -> bool:
        """Replace the data of a live session; return whether there was one. See `Store.update`."""

    @abstractmethod
    async def touch(
        self, token: str, ttl: Duration | KeepType | None = KEEP, *, idle: Duration | KeepType | None = KEEP
    ) -> bool:
        """Change the limits of a live session; return whether there was one. See `Store.touch`."""

    @abstractmethod
    async def rotate(
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
        """Move a live session to a new token and return it, or ``None``; see `Store.rotate`."""

    @abstractmethod
    async def delete(self, token: str) -> bool:
        """End a session; return whether there was one."""

    # Sessions of a subject

    @abstractmethod
    def sessions(self, subject: str) -> AsyncIterator[Session]:
        """Yield the live sessions of a subject, as an asynchronous iterator; see `Store.sessions`."""

    @abstractmethod
    async def revoke(self, subject: str | None = None, *, keep: str | None = None, label: str | None = None) -> int:
        """End the sessions of a subject, or with a label, but that of the token `keep`; see `Store.revoke`."""

    @abstractmethod
    async def revoke_id(self, id: str, *, subject: str | None = None) -> bool:  # noqa: A002 - named as Session.id is
        """End one session by its `Session.id`, if it is of `subject`; see `Store.revoke_id`."""

    # Many sessions at once

    @abstractmethod
    async def create_many(
        self,
        data: Iterable[dict[Any, Any]],
        ttl: Duration | None = None,
        max_reads: int | None = None,
        *,
        idle: Duration | None = None,
        subject: str | None = None,
    ) -> builtins.list[str]:
        """Create a session for each item of `data`, all or none; return their tokens in order."""

    @abstractmethod
    async def read_many(self, tokens: Iterable[str]) -> builtins.list[Session | None]:
        """Read many tokens; return the results of `read` in order. See `Store.read_many`."""

    @abstractmethod
    async def delete_many(self, tokens: Iterable[str]) -> int:
        """End many sessions in one transaction; return how many were alive. See `Store.delete_many`."""

    # The store

    @abstractmethod
    async def stats(self) -> Stats:
        """Return counters of the whole store. Cheap enough to be called often."""

    @abstractmethod
    async def sweep(self) -> int:
        """Remove expired sessions now; return how many. See `Store.sweep`."""

    @abstractmethod
    async def sync(self) -> None:
        """Wait until every change made before the call is on disk; see `Store.sync`."""

    @abstractmethod
    async def backup(self, path: str | PathLike[str]) -> None:
        """Write a consistent copy of the store to a new directory; see `Store.backup`."""

    @abstractmethod
    async def close(self) -> None:
        """Wait for the calls that threads are running, then sync and close. Does nothing if it is closed already."""

    # For operators. `list` comes last, as in `Store`.

    def events(self, after: str | None = None, *, follow: bool = True) -> AsyncIterator[Event]:  # noqa: ARG002 - for backends
        """Yield what is committed to the store by any process, as an asynchronous iterator; see `Store.events`.

        Without `after` it begins at its first step. A store that is called in threads has none: iterate over
        `Store.events` in a thread of your own.
        """
        checked_position(after)
        raise StoreInaccessible(self.location, NO_EVENTS)

    @abstractmethod
    async def count(self, subject: str | None = None) -> int:
        """Return how many sessions are alive, or how many of a subject; see `Store.count`."""

    @abstractmethod
    async def find(self, id: str) -> Session | None:  # noqa: A002 - named as Session.id is
        """Return the live session of a `Session.id`, or ``None``; see `Store.find`."""

    @abstractmethod
    async def list(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        subject: str | None = None,
        created_before: datetime | None = None,
        data: bool = False,
    ) -> Page:
        """Return the live sessions, newest first, one page at a time; see `Store.list`."""

    def typed(self, model: type[Data], *, migrate: Migrate | None = None) -> AsyncTypedStore[Data]:
        """Return a view of this store whose data are instances of a model; see `Store.typed`."""
        return AsyncTypedStore(self, model, migrate)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError(NOT_PICKLED)

    async def __aenter__(self: AnyAsyncStore) -> AnyAsyncStore:
        """Return the store; it is closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        await self.close()
