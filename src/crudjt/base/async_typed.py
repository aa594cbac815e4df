"""`AsyncTypedStore`: an asynchronous store whose data are instances of a model."""

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Generic

from crudjt._core.details import Client
from crudjt._core.models import Data, Migrate, Model
from crudjt._core.session import Session
from crudjt._core.validation import KEEP, Duration, KeepType, WhenFull

if TYPE_CHECKING:
    from crudjt.base.async_store import AsyncStore


class AsyncTypedStore(Generic[Data]):
    """A view of an asynchronous store by a model; `AsyncStore.typed` makes it. It does what `TypedStore` does."""

    def __init__(self, store: "AsyncStore", model: type[Data], migrate: Migrate | None = None) -> None:
        """Take an open store, which the caller closes, and the model; see `AsyncStore.typed`."""
        self._store = store
        self._model = Model(model, migrate)

    @property
    def store(self) -> "AsyncStore":
        """The store itself, for everything that does not touch data."""
        return self._store

    async def create(
        self,
        data: Data,
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
        return await self._store.create(
            self._model.packed(data),
            ttl,
            max_reads,
            idle=idle,
            subject=subject,
            max_sessions=max_sessions,
            when_full=when_full,
            client=client,
            bound_to=bound_to,
            labels=labels,
        )

    async def read(self, token: str) -> Session[Data] | None:
        """Return the session of a token, or ``None``; see `Store.read`."""
        return self._model.found(await self._store.read(token))

    async def peek(self, token: str) -> Session[Data] | None:
        """Return what `read` would, without counting the read; see `Store.peek`."""
        return self._model.found(await self._store.peek(token))

    async def update(
        self,
        token: str,
        data: Data,
        ttl: Duration | KeepType | None = KEEP,
        max_reads: int | KeepType | None = KEEP,
        *,
        idle: Duration | KeepType | None = KEEP,
        if_version: int | None = None,
    ) -> bool:
        """Replace the data of a live session; see `Store.update`."""
        return await self._store.update(
            token, self._model.packed(data), ttl, max_reads, idle=idle, if_version=if_version
        )

    async def rotate(
        self,
        token: str,
        *,
        data: Data | None = None,
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
        """Move a live session to a new token and return it; see `Store.rotate`."""
        packed = None if data is None else self._model.packed(data)
        return await self._store.rotate(
            token,
            data=packed,
            subject=subject,
            ttl=ttl,
            idle=idle,
            if_version=if_version,
            max_sessions=max_sessions,
            when_full=when_full,
            client=client,
            bound_to=bound_to,
            labels=labels,
        )

    async def delete(self, token: str) -> bool:
        """End a session; see `Store.delete`."""
        return await self._store.delete(token)

    async def sessions(self, subject: str) -> AsyncIterator[Session[Data]]:
        """Yield the live sessions of a subject; see `Store.sessions`."""
        async for session in self._store.sessions(subject):
            yield self._model.session(session)

    async def create_many(
        self,
        data: Iterable[Data],
        ttl: Duration | None = None,
        max_reads: int | None = None,
        *,
        idle: Duration | None = None,
        subject: str | None = None,
    ) -> list[str]:
        """Create a session for each item of `data`; see `Store.create_many`."""
        return await self._store.create_many(map(self._model.packed, data), ttl, max_reads, idle=idle, subject=subject)

    async def read_many(self, tokens: Iterable[str]) -> list[Session[Data] | None]:
        """Return the results of `read` in order; see `Store.read_many`."""
        return [self._model.found(session) for session in await self._store.read_many(tokens)]
