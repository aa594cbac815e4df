"""`ThreadedAsyncStore`: any `Store` for asyncio and trio, with each call in a thread."""

import builtins
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from os import PathLike
from typing import Any

from crudjt._core.details import Client
from crudjt._core.listing import Page
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.thread_pools import ThreadPools, listed
from crudjt._core.validation import KEEP, Duration, KeepType, WhenFull
from crudjt.base import AsyncStore, Store


class ThreadedAsyncStore(AsyncStore):
    """A store that has no `AsyncStore` of its own. Any of its calls may wait, so none is made on the event loop."""

    def __init__(self, store: Store) -> None:
        """Take an open store, which is closed with this one; `crudjt.aio.wrap` calls this."""
        self._store = store
        self._threads = ThreadPools()
        self._run = self._threads.run_long

    @property
    def location(self) -> str:
        return self._store.location

    @property
    def durable(self) -> bool | None:
        return self._store.durable

    @property
    def max_data_bytes(self) -> int | None:
        return self._store.max_data_bytes

    # One session

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
        room: dict[str, Any] = {"max_sessions": max_sessions, "when_full": when_full}
        room.update(client=client, bound_to=bound_to, labels=labels)
        return await self._run(self._store.create, data, ttl, max_reads, idle=idle, subject=subject, **room)

    async def read(self, token: str) -> Session | None:
        return await self._run(self._store.read, token)

    async def peek(self, token: str) -> Session | None:
        return await self._run(self._store.peek, token)

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
        return await self._run(self._store.update, token, data, ttl, max_reads, idle=idle, if_version=if_version)

    async def touch(
        self, token: str, ttl: Duration | KeepType | None = KEEP, *, idle: Duration | KeepType | None = KEEP
    ) -> bool:
        return await self._run(self._store.touch, token, ttl, idle=idle)

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
        changes: dict[str, Any] = {"data": data, "subject": subject, "ttl": ttl, "idle": idle}
        room: dict[str, Any] = {"max_sessions": max_sessions, "when_full": when_full}
        room.update(client=client, bound_to=bound_to, labels=labels)
        return await self._run(self._store.rotate, token, if_version=if_version, **changes, **room)

    async def delete(self, token: str) -> bool:
        return await self._run(self._store.delete, token)

    # Sessions of a subject

    async def sessions(self, subject: str) -> AsyncIterator[Session]:
        # The call itself may wait, where it is not a generator.
        found = await self._run(self._store.sessions, subject)
        async for session in self._threads.iterate(found):
            yield session

    async def revoke(self, subject: str | None = None, *, keep: str | None = None, label: str | None = None) -> int:
        return await self._run(self._store.revoke, subject, keep=keep, label=label)

    async def revoke_id(self, id: str, *, subject: str | None = None) -> bool:  # noqa: A002 - named as Session.id is
        return await self._run(self._store.revoke_id, id, subject=subject)

    # Many sessions in one transaction

    async def create_many(
        self,
        data: Iterable[dict[Any, Any]],
        ttl: Duration | None = None,
        max_reads: int | None = None,
        *,
        idle: Duration | None = None,
        subject: str | None = None,
    ) -> builtins.list[str]:
        return await self._run(self._store.create_many, listed(data), ttl, max_reads, idle=idle, subject=subject)

    async def read_many(self, tokens: Iterable[str]) -> builtins.list[Session | None]:
        return await self._run(self._store.read_many, listed(tokens))

    async def delete_many(self, tokens: Iterable[str]) -> int:
        return await self._run(self._store.delete_many, listed(tokens))

    # The store

    async def stats(self) -> Stats:
        return await self._run(self._store.stats)

    async def sweep(self) -> int:
        return await self._run(self._store.sweep)

    async def sync(self) -> None:
        await self._run(self._store.sync)

    async def backup(self, path: str | PathLike[str]) -> None:
        await self._run(self._store.backup, path)

    async def close(self) -> None:
        await self._threads.close(self._store.close)

    # For operators

    async def count(self, subject: str | None = None) -> int:
        return await self._run(self._store.count, subject)

    async def find(self, id: str) -> Session | None:  # noqa: A002 - named as Session.id is
        return await self._run(self._store.find, id)

    async def list(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        subject: str | None = None,
        created_before: datetime | None = None,
        data: bool = False,
    ) -> Page:
        wishes = {"subject": subject, "created_before": created_before, "data": data}
        return await self._run(self._store.list, after=after, limit=limit, **wishes)

    def __repr__(self) -> str:
        """Return the location and state, and nothing that is stored."""
        return f"<ThreadedAsyncStore of {self._store!r}>"
