"""`AsyncEmbeddedStore`: what waits for nothing is done on the thread of the event loop, all else in other threads.

A read waits for nothing, and to hand it to a thread would take many times as long; nor does a write while no process
holds the write lock or syncs. What may wait, for the disk, a lock or a large scan, is done in a thread of the store's
own. An LMDB write transaction begins and ends in one thread, since
each lies within one method of `EmbeddedStore`; there is no ``await`` in it, so no cancellation can interrupt it.
"""

import builtins
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from datetime import datetime
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from crudjt._backends.embedded.events import POLL_SECONDS
from crudjt._core.details import Client
from crudjt._core.events import Event
from crudjt._core.listing import Page
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.thread_pools import ThreadPools, is_small, listed
from crudjt._core.validation import KEEP, Duration, KeepType, WhenFull
from crudjt.base import AsyncStore, Writes

if TYPE_CHECKING:
    from crudjt._backends.embedded.store import EmbeddedStore

Result = TypeVar("Result")

# One thread makes all ordinary writes: there is one write lock, and several threads would only compete for the GIL.
# With durability "full" many threads wait, so that they share a sync to disk.
_WRITERS = 1
_DURABLE_WRITERS = 32


class AsyncEmbeddedStore(AsyncStore):
    """An embedded store for asyncio and trio.

    A write that meets no other takes some 10 µs on the thread of the loop, and some 100 µs in another thread, as does a
    read that is counted or restarts an idle timeout. ``durability="full"`` always uses threads. With
    ``writes="inline"`` every write is made on the thread of the loop, which waits with it: milliseconds while the log
    is being synced to disk, longer while another process creates thousands of sessions at once, and without end while a
    process that was stopped (SIGSTOP, a debugger) in the middle of a write holds the lock.
    """

    def __init__(self, store: "EmbeddedStore", *, writes: Writes) -> None:
        """Take an open store, which is closed with this one; `crudjt.aio.open` calls this."""
        self._store = store
        self._inline = writes == "inline" and not store.durable
        # Whether to look if a write would have to wait, and whether the first write, in a thread, has found the lock.
        self._looks = writes == "auto" and not store.durable
        self._looks_now = False
        self._threads = ThreadPools(_DURABLE_WRITERS if store.durable else _WRITERS)

    @property
    def location(self) -> str:
        return self._store.location

    @property
    def durable(self) -> bool:
        return self._store.durable

    @property
    def max_data_bytes(self) -> int:
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
        if max_sessions is None and client is None and bound_to is None and not labels:
            return await self._write(self._store.create, data, ttl, max_reads, idle=idle, subject=subject)
        more: dict[str, Any] = {"subject": subject, "max_sessions": max_sessions, "when_full": when_full}
        more.update(client=client, bound_to=bound_to, labels=labels)
        return await self._write(self._store.create, data, ttl, max_reads, idle=idle, **more)

    async def read(self, token: str) -> Session | None:
        found = self._store.read_or_defer(token)
        return await self._write(found) if isinstance(found, partial) else found

    async def peek(self, token: str) -> Session | None:
        return self._store.peek(token)

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
        if self._at_once():  # as `_write`, without packing the arguments twice; so in `rotate`
            return self._store.update(token, data, ttl, max_reads, idle=idle, if_version=if_version)
        return await self._in_thread(self._store.update, token, data, ttl, max_reads, idle=idle, if_version=if_version)

    async def touch(
        self, token: str, ttl: Duration | KeepType | None = KEEP, *, idle: Duration | KeepType | None = KEEP
    ) -> bool:
        return await self._write(self._store.touch, token, ttl, idle=idle)

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
        if max_sessions is not None or client is not KEEP or bound_to is not KEEP or labels is not KEEP:
            changes.update(max_sessions=max_sessions, when_full=when_full)
            changes.update(client=client, bound_to=bound_to, labels=labels)
        elif self._at_once():
            return self._store.rotate(token, data=data, subject=subject, ttl=ttl, idle=idle, if_version=if_version)
        return await self._write(self._store.rotate, token, if_version=if_version, **changes)

    async def delete(self, token: str) -> bool:
        return await self._write(self._store.delete, token)

    # Sessions of a subject

    async def sessions(self, subject: str) -> AsyncIterator[Session]:
        async for session in self._threads.iterate(self._store.sessions(subject)):
            yield session

    async def revoke(self, subject: str | None = None, *, keep: str | None = None, label: str | None = None) -> int:
        return await self._threads.run_long(self._store.revoke, subject, keep=keep, label=label)

    async def revoke_id(self, id: str, *, subject: str | None = None) -> bool:  # noqa: A002 - named as Session.id is
        return await self._write(self._store.revoke_id, id, subject=subject)

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
        return await self._write_many(self._store.create_many, data, ttl, max_reads, idle=idle, subject=subject)

    async def read_many(self, tokens: Iterable[str]) -> builtins.list[Session | None]:
        return await self._write_many(self._store.read_many, tokens)

    async def delete_many(self, tokens: Iterable[str]) -> int:
        return await self._write_many(self._store.delete_many, tokens)

    # The store

    async def stats(self) -> Stats:
        return self._store.stats()

    async def sweep(self) -> int:
        return await self._threads.run_long(self._store.sweep)

    async def sync(self) -> None:
        await self._threads.run_long(self._store.sync)

    async def backup(self, path: str | PathLike[str]) -> None:
        await self._threads.run_long(self._store.backup, path)

    async def close(self) -> None:
        await self._threads.close(self._store.close)

    # For operators

    async def events(self, after: str | None = None, *, follow: bool = True) -> AsyncIterator[Event]:
        batches = self._store.event_batches(after, follow=follow, wait=lambda _seconds: None)
        async with aclosing(self._threads.flatten(batches, POLL_SECONDS)) as events:
            async for event in events:
                yield event

    async def count(self, subject: str | None = None) -> int:
        return await self._threads.run_long(self._store.count, subject)

    async def find(self, id: str) -> Session | None:  # noqa: A002 - named as Session.id is
        return self._store.find(id)

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
        return await self._threads.run_long(self._store.list, after=after, limit=limit, **wishes)

    def __repr__(self) -> str:
        """Return the location and state, without any data."""
        return f"<AsyncEmbeddedStore of {self._store!r}>"

    def _at_once(self) -> bool:
        """Return whether a write is to be made on the thread of the loop."""
        # While a long call runs, no write is: it might have to wait for that one.
        if self._threads.long or self._threads.closing:
            return False
        return self._inline or (self._looks_now and self._store.writes_at_once())

    async def _write(self, call: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
        if self._at_once():
            return call(*arguments, **keywords)
        return await self._in_thread(call, *arguments, **keywords)

    async def _in_thread(self, call: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
        if self._looks and not self._looks_now:
            return await self._threads.run_short(self._write_first, call, *arguments, **keywords)
        return await self._threads.run_short(call, *arguments, **keywords)

    def _write_first(self, call: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
        """Find the write lock, so that later writes need no thread, and make the first write."""
        self._store.find_lock()
        self._looks_now = True
        return call(*arguments, **keywords)

    async def _write_many(
        self, call: Callable[..., Result], items: Iterable[Any], *arguments: Any, **keywords: Any
    ) -> Result:
        items = listed(items)
        if is_small(items):
            return await self._write(call, items, *arguments, **keywords)
        return await self._threads.run_long(call, items, *arguments, **keywords)
