"""`ValkeyStore`: a store on Valkey or Redis servers, called over blocking connections."""

import builtins
from collections.abc import Iterable, Iterator
from datetime import datetime
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crudjt._backends.valkey.connecting import connect
from crudjt._backends.valkey.connections import Connections
from crudjt._backends.valkey.operations import Operations
from crudjt._backends.valkey.requests import Result, Steps
from crudjt._backends.valkey.settings import Settings
from crudjt._backends.valkey.steps.syncing import LIMIT as SYNC_LIMIT
from crudjt._core.details import Client
from crudjt._core.key_uses import KeyUse
from crudjt._core.listing import Page
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.validation import KEEP, Duration, KeepType, WhenFull
from crudjt.base import Store, Writes
from crudjt.errors import StoreClosed

if TYPE_CHECKING:  # asyncio takes long to import
    from crudjt._backends.valkey.async_store import AsyncValkeyStore


def open_on_servers(settings: Settings) -> "ValkeyStore":
    """Connect to the servers and open the store there, or make it."""
    connected = connect(settings)
    return ValkeyStore(connected.connections, Operations(connected.records, settings.max_data_bytes), settings)


class ValkeyStore(Store):
    """A store on Valkey or Redis servers. Processes of many hosts share it; none answers a call from memory.

    A call whose reply is lost is carried out again only where that cannot be seen, and raises `StoreUnavailable`
    otherwise. A forked child makes its own connections.
    """

    def __init__(self, connections: Connections, operations: Operations, settings: Settings) -> None:
        """Take open connections, which are closed with the store; use `crudjt.open` instead."""
        self._connections = connections
        self._operations = operations
        self._settings = settings
        self._run = connections.run

    @property
    def location(self) -> str:
        return self._settings.servers.location

    @property
    def durable(self) -> bool:
        return self._settings.durability == "full"

    @property
    def max_data_bytes(self) -> int:
        return self._settings.max_data_bytes

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
        return self._run(
            self._operations.create(
                data, ttl, max_reads, idle, subject, max_sessions, when_full, client, bound_to, labels
            )
        )

    def read(self, token: str) -> Session | None:
        return self._run(self._operations.read(token))

    def peek(self, token: str) -> Session | None:
        return self._run(self._operations.peek(token))

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
        return self._run(self._operations.update(token, data, ttl, max_reads, idle, if_version))

    def touch(
        self, token: str, ttl: Duration | KeepType | None = KEEP, *, idle: Duration | KeepType | None = KEEP
    ) -> bool:
        return self._run(self._operations.touch(token, ttl, idle))

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
        return self._run(
            self._operations.rotate(
                token, data, subject, ttl, idle, if_version, max_sessions, when_full, client, bound_to, labels
            )
        )

    def delete(self, token: str) -> bool:
        return self._run(self._operations.delete(token))

    # Sessions of a subject

    def sessions(self, subject: str) -> Iterator[Session]:
        filed = self._run(self._operations.list_ids(subject))
        for page in self._operations.pages(filed):
            for session in self._run(page):
                if self._connections.closed:
                    raise StoreClosed
                yield session

    def revoke(self, subject: str | None = None, *, keep: str | None = None, label: str | None = None) -> int:
        return self._run_long(self._operations.revoke(subject, keep, label))

    def revoke_id(self, id: str, *, subject: str | None = None) -> bool:  # noqa: A002 - named as Session.id is
        return self._run(self._operations.revoke_id(id, subject))

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
        return self._run_long(self._operations.create_many(data, ttl, max_reads, idle, subject))

    def read_many(self, tokens: Iterable[str]) -> builtins.list[Session | None]:
        return self._run_long(self._operations.read_many(tokens))

    def delete_many(self, tokens: Iterable[str]) -> int:
        return self._run_long(self._operations.delete_many(tokens))

    # The store

    def stats(self) -> Stats:
        """Return counters. The sessions are counted one by one: some 800,000 a second on each primary."""
        return self._run_long(self._operations.stats())

    def sweep(self) -> int:
        """Remove expired sessions; return how many. The servers remove most of them 10 s after their end by themselves.

        Looks at all keys of the servers.
        """
        return self._run_long(self._operations.sweep())

    def sync(self) -> None:
        """Wait until the servers have every change made before the call on disk: one or two seconds.

        Raises:
            StoreUnavailable: they had not in time.

        """
        self._connections.run(self._operations.sync(), per_step=True, limit=SYNC_LIMIT)

    def backup(self, path: str | PathLike[str]) -> None:
        """Copy the sessions to a new directory, which opens as a store with the same secret key.

        Not as of one moment: each session is as it was at some time during the call. One that was ended or rotated
        while the call ran may be in the copy as it was before, one that was made then may be missing.

        Raises:
            StoreInaccessible: `path` exists and is not an empty directory, or cannot be written.
            StoreMoved: its sessions are moved elsewhere.

        """
        identity = self._run_long(self._operations.identity())
        # By its name, as `crudjt._registry` does: a backend needs no other to be imported.
        import_module("crudjt._backends.embedded").write_store(Path(path), identity, self._all_records())

    def close(self) -> None:
        """Disconnect."""
        self._connections.close()

    # For operators

    def key_uses(self) -> builtins.list[KeyUse]:
        """Return how many live sessions each secret key has, oldest first."""
        records = (each for steps in self._operations.all_records() for each in self._run_long(steps))
        return self._operations.key_uses(records)

    def count(self, subject: str | None = None) -> int:
        return self._run_long(self._operations.count(subject))

    def find(self, id: str) -> Session | None:  # noqa: A002 - named as Session.id is
        return self._run(self._operations.find(id))

    def list(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        subject: str | None = None,
        created_before: datetime | None = None,
        data: bool = False,
    ) -> Page:
        return self._run_long(self._operations.list_page(after, limit, subject, created_before, data=data))

    def asynchronous(self, *, writes: Writes = "auto") -> "AsyncValkeyStore":  # noqa: ARG002 - nothing is inline
        """Return an `AsyncStore` with connections of its own to the same servers."""
        # asyncio takes long to import.
        from crudjt._backends.valkey.aio_connections import AsyncConnections  # noqa: PLC0415
        from crudjt._backends.valkey.async_store import AsyncValkeyStore  # noqa: PLC0415

        shared = self._connections
        connections = AsyncConnections(shared.servers, shared.topology, shared.inspector)
        return AsyncValkeyStore(self, shared, connections, self._operations)

    def __repr__(self) -> str:
        """Return the location and state, without any data."""
        state = "closed" if self._connections.closed else "open"
        return f"<ValkeyStore {self.location!r} {state}>"

    def _all_records(self) -> Iterator[tuple[bytes, bytes]]:
        for steps in self._operations.all_records():
            yield from self._run_long(steps)
        self._run_long(self._operations.identity())  # raises if a move has begun, which may have left sessions out

    def _run_long(self, steps: Steps[Result]) -> Result:
        """Carry out what takes any number of trips, each of which has a timeout of its own."""
        return self._connections.run(steps, per_step=True)
