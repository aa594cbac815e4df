"""`AsyncRemoteStore`: a store on a server, called over gRPC with ``await``."""

import builtins
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING, Any

from crudjt._backends.grpc import requests, responses
from crudjt._backends.grpc.aio_channel import AsyncConnection
from crudjt._backends.grpc.location import Remote
from crudjt._backends.grpc.requests import Answer, Request
from crudjt._core.details import Client
from crudjt._core.event_loops import runs_trio
from crudjt._core.events import Event
from crudjt._core.listing import Page
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.thread_pools import PAGE, ThreadPools, is_small, listed
from crudjt._core.validation import KEEP, Duration, KeepType, WhenFull
from crudjt.base import AsyncStore

if TYPE_CHECKING:
    from crudjt._backends.grpc.store import RemoteStore


class AsyncRemoteStore(AsyncStore):
    """A store on a server, for asyncio. In a task of trio, which gRPC does not know, its calls are made in threads.

    A call that gets no answer raises `StoreUnavailable` and is not repeated: it may have been carried out, and so may
    one that is cancelled.
    """

    def __init__(self, store: "RemoteStore", remote: Remote, ask: Callable[[Request[Any]], Any]) -> None:
        """Take a store on a server, its target, and how to ask it from a thread; use `crudjt.aio.open` instead."""
        self._store = store
        self._threads = ThreadPools()
        self._connection = AsyncConnection(remote)
        self._ask_blocking = ask
        self._event_batches = store.event_batches

    @property
    def location(self) -> str:
        return self._store.location

    @property
    def durable(self) -> None:
        return None

    @property
    def max_data_bytes(self) -> None:
        return None

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
        return await self._ask(
            requests.create(data, ttl, max_reads, idle, subject, max_sessions, when_full, client, bound_to, labels)
        )

    async def read(self, token: str) -> Session | None:
        return await self._ask(requests.read(token))

    async def peek(self, token: str) -> Session | None:
        return await self._ask(requests.peek(token))

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
        return await self._ask(requests.update(token, data, ttl, max_reads, idle, if_version))

    async def touch(
        self, token: str, ttl: Duration | KeepType | None = KEEP, *, idle: Duration | KeepType | None = KEEP
    ) -> bool:
        return await self._ask(requests.touch(token, ttl, idle))

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
        return await self._ask(
            requests.rotate(
                token, data, subject, ttl, idle, if_version, max_sessions, when_full, client, bound_to, labels
            )
        )

    async def delete(self, token: str) -> bool:
        return await self._ask(requests.delete(token))

    # Sessions of a subject

    async def sessions(self, subject: str) -> AsyncIterator[Session]:
        messages = await self._ask(requests.sessions(subject))
        for at in range(0, len(messages), PAGE):
            for session in await self._threads.run_long(_sessions, messages[at : at + PAGE]):
                self._connection.require_open()
                yield session

    async def revoke(self, subject: str | None = None, *, keep: str | None = None, label: str | None = None) -> int:
        return await self._ask(requests.revoke(subject, keep, label))

    async def revoke_id(self, id: str, *, subject: str | None = None) -> bool:  # noqa: A002 - named as Session.id is
        return await self._ask(requests.revoke_id(id, subject))

    # Many sessions at once

    async def create_many(
        self,
        data: Iterable[dict[Any, Any]],
        ttl: Duration | None = None,
        max_reads: int | None = None,
        *,
        idle: Duration | None = None,
        subject: str | None = None,
    ) -> builtins.list[str]:
        return await self._ask_many(requests.create_many, data, ttl, max_reads, idle, subject)

    async def read_many(self, tokens: Iterable[str]) -> builtins.list[Session | None]:
        return await self._ask_many(requests.read_many, tokens)

    async def delete_many(self, tokens: Iterable[str]) -> int:
        return await self._ask_many(requests.delete_many, tokens)

    # The store

    async def stats(self) -> Stats:
        return await self._ask(requests.stats())

    async def sweep(self) -> int:
        return await self._ask(requests.sweep())

    async def sync(self) -> None:
        await self._ask(requests.sync())

    async def backup(self, path: str | PathLike[str]) -> None:
        """Write a copy of the store to a new directory of this host, in a thread and over a connection of its own."""
        await self._threads.run_long(self._store.backup, path)

    async def close(self) -> None:
        """Disconnect; the server keeps the store open."""
        await self._connection.close()
        await self._threads.close(self._store.close)

    # For operators

    async def events(self, after: str | None = None, *, follow: bool = True) -> AsyncIterator[Event]:
        if runs_trio():
            batches = self._event_batches(after, follow=follow)
            async with aclosing(self._threads.flatten(batches, 0)) as events:
                async for event in events:
                    yield event
            return
        async with aclosing(self._connection.stream("Events", requests.events(after, follow=follow))) as answers:
            async for response in answers:
                for event in responses.events(response):
                    yield event

    async def count(self, subject: str | None = None) -> int:
        return await self._ask(requests.count(subject))

    async def find(self, id: str) -> Session | None:  # noqa: A002 - named as Session.id is
        return await self._ask(requests.find(id))

    async def list(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        subject: str | None = None,
        created_before: datetime | None = None,
        data: bool = False,
    ) -> Page:
        return await self._ask(requests.list_page(after, limit, subject, created_before, data=data))

    def __repr__(self) -> str:
        """Return the location and state, without any data."""
        return f"<AsyncRemoteStore of {self._store!r}>"

    async def _ask(self, request: Request[Answer]) -> Answer:
        if runs_trio():
            return await self._threads.run_long(self._ask_blocking, request)
        return await self._connection.ask(request)

    async def _ask_many(self, make: Callable[..., Request[Answer]], items: Iterable[Any], *limits: Any) -> Answer:
        # Building thousands of messages, and reading the answers, takes long.
        items = listed(items)
        if is_small(items):
            return await self._ask(make(items, *limits))
        request = await self._threads.run_long(make, items, *limits)
        answers = await self._ask(replace(request, answer=_unread))
        return await self._threads.run_long(request.answer, answers)


def _sessions(messages: Iterable[Any]) -> list[Session]:
    return [responses.to_session(message) for message in messages]


def _unread(answers: Any) -> Any:
    return answers
