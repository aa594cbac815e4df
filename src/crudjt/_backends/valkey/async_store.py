"""`AsyncValkeyStore`: a store on Valkey or Redis servers, called over the connections of an event loop."""

import builtins
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from os import PathLike
from typing import Any

from crudjt._backends.valkey.aio_connections import AsyncConnections
from crudjt._backends.valkey.connections import Connections
from crudjt._backends.valkey.operations import Operations
from crudjt._backends.valkey.requests import Result, Steps
from crudjt._backends.valkey.steps.syncing import LIMIT as SYNC_LIMIT
from crudjt._core.details import Client
from crudjt._core.event_loops import runs_trio
from crudjt._core.listing import Page
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.thread_pools import ThreadPools, is_small, listed
from crudjt._core.validation import KEEP, Duration, KeepType, WhenFull
from crudjt.base import AsyncStore, Store
from crudjt.errors import StoreClosed


class AsyncValkeyStore(AsyncStore):
    """A store on servers, for asyncio. In a task of trio, which the client library does not know, threads call it.

    A call that is cancelled may have been carried out or not; its connections are closed, so that no later call
    receives its replies.
    """

    def __init__(
        self, store: Store, blocking: Connections, connections: AsyncConnections, operations: Operations
    ) -> None:
        """Take an open store, its connections, those of event loops to the same servers, and its operations.

        Use `crudjt.aio.open` instead.
        """
        self._store = store
        self._blocking = blocking
        self._connections = connections
        self._operations = operations
        self._threads = ThreadPools()

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
        return await self._run(
            self._operations.create(
                data, ttl, max_reads, idle, subject, max_sessions, when_full, client, bound_to, labels
            )
        )

    async def read(self, token: str) -> Session | None:
        return await self._run(self._operations.read(token))

    async def peek(self, token: str) -> Session | None:
        return await self._run(self._operations.peek(token))

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
        return await self._run(self._operations.update(token, data, ttl, max_reads, idle, if_version))

    async def touch(
        self, token: str, ttl: Duration | KeepType | None = KEEP, *, idle: Duration | KeepType | None = KEEP
    ) -> bool:
        return await self._run(self._operations.touch(token, ttl, idle))

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
        return await self._run(
            self._operations.rotate(
                token, data, subject, ttl, idle, if_version, max_sessions, when_full, client, bound_to, labels
            )
        )

    async def delete(self, token: str) -> bool:
        return await self._run(self._operations.delete(token))

    # Sessions of a subject

    async def sessions(self, subject: str) -> AsyncIterator[Session]:
        filed = await self._run(self._operations.list_ids(subject))
        for page in self._operations.pages(filed):
            for session in await self._run(page):
                self._require_open()
                yield session

    async def revoke(self, subject: str | None = None, *, keep: str | None = None, label: str | None = None) -> int:
        return await self._run(self._operations.revoke(subject, keep, label), per_step=True)

    async def revoke_id(self, id: str, *, subject: str | None = None) -> bool:  # noqa: A002 - named as Session.id is
        return await self._run(self._operations.revoke_id(id, subject))

    # Many sessions

    async def create_many(
        self,
        data: Iterable[dict[Any, Any]],
        ttl: Duration | None = None,
        max_reads: int | None = None,
        *,
        idle: Duration | None = None,
        subject: str | None = None,
    ) -> builtins.list[str]:
        return await self._run_many(self._operations.create_many, data, ttl, max_reads, idle, subject)

    async def read_many(self, tokens: Iterable[str]) -> builtins.list[Session | None]:
        return await self._run_many(self._operations.read_many, tokens)

    async def delete_many(self, tokens: Iterable[str]) -> int:
        return await self._run_many(self._operations.delete_many, tokens)

    # The store

    async def stats(self) -> Stats:
        return await self._run(self._operations.stats(), per_step=True)

    async def sweep(self) -> int:
        return await self._run(self._operations.sweep(), per_step=True)

    async def sync(self) -> None:
        await self._run(self._operations.sync(), per_step=True, limit=SYNC_LIMIT)

    async def backup(self, path: str | PathLike[str]) -> None:
        await self._threads.run_long(self._store.backup, path)

    async def close(self) -> None:
        """Disconnect."""
        if not runs_trio():
            await self._connections.close()
        await self._threads.close(self._store.close)

    # For operators

    async def count(self, subject: str | None = None) -> int:
        return await self._run(self._operations.count(subject), per_step=True)

    async def find(self, id: str) -> Session | None:  # noqa: A002 - named as Session.id is
        return await self._run(self._operations.find(id))

    async def list(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        subject: str | None = None,
        created_before: datetime | None = None,
        data: bool = False,
    ) -> Page:
        return await self._run(
            self._operations.list_page(after, limit, subject, created_before, data=data), per_step=True
        )

    def __repr__(self) -> str:
        """Return the location and state, without any data."""
        return f"<AsyncValkeyStore of {self._store!r}>"

    async def _run(self, steps: Steps[Result], *, per_step: bool = False, limit: float | None = None) -> Result:
        self._require_open()
        if runs_trio():
            return await self._threads.run_long(lambda: self._blocking.run(steps, per_step=per_step, limit=limit))
        return await self._connections.run(steps, per_step=per_step, limit=limit)

    def _require_open(self) -> None:
        """Refuse calls after either store was closed."""
        if self._connections.closed or self._blocking.closed:
            raise StoreClosed

    async def _run_many(self, make: Callable[..., Steps[Result]], items: Iterable[Any], *limits: Any) -> Result:
        items = listed(items)
        if is_small(items):
            return await self._run(make(items, *limits), per_step=True)
        # To seal or open thousands of records takes long.
        return await self._threads.run_long(lambda: self._blocking.run(make(items, *limits), per_step=True))
