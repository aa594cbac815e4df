"""`RemoteStore`: a store on a server, called over gRPC."""

import builtins
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crudjt import _filesystem
from crudjt._backends.grpc import requests, responses
from crudjt._backends.grpc.backup import CopyWriter
from crudjt._backends.grpc.channel import Connection
from crudjt._backends.grpc.requests import Answer, Request
from crudjt._core.details import Client
from crudjt._core.events import Event
from crudjt._core.listing import Page
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.validation import KEEP, Duration, KeepType, WhenFull
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.base import Store, Writes
from crudjt.errors import StoreFull, StoreInaccessible

if TYPE_CHECKING:  # asyncio and grpc.aio take long to import
    from crudjt._backends.grpc.async_store import AsyncRemoteStore


class RemoteStore(Store):
    """A store on a server.

    A call that gets no answer raises `StoreUnavailable` and is not repeated: it may have been carried out. The next
    call connects again. A forked child makes its own connection, at its first call.
    """

    def __init__(self, connection: Connection) -> None:
        """Take a connection; use `crudjt.open` instead."""
        self._connection = connection

    @property
    def location(self) -> str:
        return self._connection.location

    @property
    def durable(self) -> None:
        return None

    @property
    def max_data_bytes(self) -> None:
        return None

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
        return self._ask(
            requests.create(data, ttl, max_reads, idle, subject, max_sessions, when_full, client, bound_to, labels)
        )

    def read(self, token: str) -> Session | None:
        return self._ask(requests.read(token))

    def peek(self, token: str) -> Session | None:
        return self._ask(requests.peek(token))

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
        return self._ask(requests.update(token, data, ttl, max_reads, idle, if_version))

    def touch(
        self, token: str, ttl: Duration | KeepType | None = KEEP, *, idle: Duration | KeepType | None = KEEP
    ) -> bool:
        return self._ask(requests.touch(token, ttl, idle))

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
        return self._ask(
            requests.rotate(
                token, data, subject, ttl, idle, if_version, max_sessions, when_full, client, bound_to, labels
            )
        )

    def delete(self, token: str) -> bool:
        return self._ask(requests.delete(token))

    # Sessions of a subject

    def sessions(self, subject: str) -> Iterator[Session]:
        # Read all of them at the first step, so that a slow caller keeps no thread of the server busy.
        for message in self._ask(requests.sessions(subject)):
            self._connection.require_open()
            yield responses.to_session(message)

    def revoke(self, subject: str | None = None, *, keep: str | None = None, label: str | None = None) -> int:
        return self._ask(requests.revoke(subject, keep, label))

    def revoke_id(self, id: str, *, subject: str | None = None) -> bool:  # noqa: A002 - named as Session.id is
        return self._ask(requests.revoke_id(id, subject))

    # Many sessions at once

    def create_many(
        self,
        data: Iterable[dict[Any, Any]],
        ttl: Duration | None = None,
        max_reads: int | None = None,
        *,
        idle: Duration | None = None,
        subject: str | None = None,
    ) -> builtins.list[str]:
        return self._ask(requests.create_many(data, ttl, max_reads, idle, subject))

    def read_many(self, tokens: Iterable[str]) -> builtins.list[Session | None]:
        return self._ask(requests.read_many(tokens))

    def delete_many(self, tokens: Iterable[str]) -> int:
        return self._ask(requests.delete_many(tokens))

    # The store

    def stats(self) -> Stats:
        return self._ask(requests.stats())

    def sweep(self) -> int:
        return self._ask(requests.sweep())

    def sync(self) -> None:
        self._ask(requests.sync())

    def backup(self, path: str | PathLike[str]) -> None:
        """Write a copy of the store to a new directory of this host; without a time limit."""
        self._connection.require_open()
        target = Path(path)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise StoreInaccessible(target, "exists already; a backup goes to a new or an empty directory")
        temporary: Path | None = None
        steps = self._connection.stream("Backup", pb.BackupRequest(), forever=True)
        try:
            temporary = _filesystem.make_temporary_directory(target)
            CopyWriter(temporary).write(steps)
            _filesystem.publish(temporary, target)
        except OSError as error:
            if error.errno in _filesystem.DISK_FULL_ERRNOS:
                raise StoreFull(target, "the disk is full") from error
            raise StoreInaccessible(target, f"cannot be written: {os.strerror(error.errno or 0)}") from error
        finally:
            if temporary is not None:
                _filesystem.remove_tree(temporary)

    def close(self) -> None:
        """Disconnect; the server keeps the store open."""
        self._connection.close()

    def asynchronous(self, *, writes: Writes = "auto") -> "AsyncRemoteStore":  # noqa: ARG002 - nothing is inline
        """Return an `AsyncStore` with a connection of its own to the same server."""
        from crudjt._backends.grpc.async_store import AsyncRemoteStore  # noqa: PLC0415 - asyncio takes long to import

        return AsyncRemoteStore(self, self._connection.remote, self._ask)

    # For operators

    def events(self, after: str | None = None, *, follow: bool = True) -> Iterator[Event]:
        return chain.from_iterable(self.event_batches(after, follow=follow))

    def event_batches(self, after: str | None, *, follow: bool) -> Iterator[builtins.list[Event]]:
        """Yield events in lists, and an empty one now and then."""
        self._connection.require_open()
        return map(
            responses.events, self._connection.stream("Events", requests.events(after, follow=follow), forever=True)
        )

    def count(self, subject: str | None = None) -> int:
        return self._ask(requests.count(subject))

    def find(self, id: str) -> Session | None:  # noqa: A002 - named as Session.id is
        return self._ask(requests.find(id))

    def list(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        subject: str | None = None,
        created_before: datetime | None = None,
        data: bool = False,
    ) -> Page:
        return self._ask(requests.list_page(after, limit, subject, created_before, data=data))

    def __repr__(self) -> str:
        """Return the location and state, without any data."""
        state = "closed" if self._connection.closed else "open"
        return f"<RemoteStore {self._connection.location!r} {state}>"

    def _ask(self, request: Request[Answer]) -> Answer:
        if request.streams:
            return request.answer(list(self._connection.stream(request.method, request.message)))
        return request.answer(self._connection.call(request.method, request.message))
