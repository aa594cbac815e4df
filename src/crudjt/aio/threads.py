"""`AsyncStore`: the face of `Store`, with ``await``, over the embedded engine.

Reads are done at once, on the thread of the event loop: they wait for nothing, and to hand them to another thread would
take many times as long. What may wait, for the disk, a lock or a large scan, is done in a thread of the store's own. An
LMDB write transaction begins and ends in one thread either way, since each lies within one method of `Store`, and no
cancellation can get in between: there is no ``await`` inside a method of `Store`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from os import PathLike
from types import TracebackType
from typing import Any, Literal, TypeVar, get_args

from crudjt._backends.embedded.store import Store
from crudjt._core.session import Session, reading_writes
from crudjt._core.stats import Stats
from crudjt._core.validation import (
    KEEP,
    KeepType,
)
from crudjt.errors import InvalidParameter, StoreClosed

Writes = Literal["inline", "thread"]
Result = TypeVar("Result")

_THREADS = 32
_FEW = 32  # sessions: they take well under a millisecond
PAGE = 100


class AsyncStore:
    """An open token store, for asyncio: every method does what it does for `Store`, which explains them.

    A call that is cancelled has been carried out whole, or not at all. One that a thread is at when it is cancelled is
    finished there: a session may have been made whose token nobody gets, or a read counted whose data nobody sees.

    A read is done at once. A write is handed to a thread, one for all writes of the store, and so is a read that is
    counted or puts an idle timeout off: some 100 µs, in which the loop serves others. With ``writes="inline"`` it is
    done at once, in some 10 µs; but then the loop waits with it, milliseconds where the log is being synced to disk,
    longer where another process makes thousands of sessions at once, and without end where one was stopped (SIGSTOP, a
    debugger) in the middle of a write. ``durability="full"`` is always for threads.
    """

    def __init__(self, store: Store, *, writes: Writes = "thread") -> None:
        """Take an open store, which is closed with this one; `crudjt.aio.open` is the way to call this."""
        if writes not in get_args(Writes):
            raise InvalidParameter("writes", f"is {writes!r}", "'inline' or 'thread'")
        self._store = store
        self._durable = getattr(store, "durable", False)  # a server's store is as durable as the server says
        self._inline = writes == "inline" and not self._durable
        self._closing = False
        self._renew_threads()

    # One session

    async def create(
        self,
        data: dict[Any, Any],
        ttl: float | None = None,
        max_reads: int | None = None,
        *,
        idle: float | None = None,
        subject: str | None = None,
    ) -> str:
        """Start a session and return its token."""
        return await self._write(self._store.create, data, ttl, max_reads, idle=idle, subject=subject)

    async def read(self, token: str) -> Session | None:
        """Return the session of a token, or ``None`` if it is unknown, expired or used up."""
        if self._inline and not self._long:
            return self._store.read(token)
        session = self._store.peek(token)
        if session is None or not reading_writes(session):
            return session
        return await self._briefly_in_thread(self._store.read, token)

    async def peek(self, token: str) -> Session | None:
        """Return what `read` would, without counting the read or putting anything off."""
        return self._store.peek(token)

    async def update(
        self,
        token: str,
        data: dict[Any, Any],
        ttl: float | KeepType | None = KEEP,
        max_reads: int | KeepType | None = KEEP,
        *,
        idle: float | KeepType | None = KEEP,
        if_version: int | None = None,
    ) -> bool:
        """Replace the data of a live session, and any limit that is given; return whether there was one."""
        return await self._write(self._store.update, token, data, ttl, max_reads, idle=idle, if_version=if_version)

    async def touch(
        self, token: str, ttl: float | KeepType | None = KEEP, *, idle: float | KeepType | None = KEEP
    ) -> bool:
        """Give a live session new limits, the same data, and a fresh idle timeout; return whether there was one."""
        return await self._write(self._store.touch, token, ttl, idle=idle)

    async def rotate(self, token: str) -> str | None:
        """Move a live session to a new token and return it; ``None`` if there is no such session."""
        return await self._write(self._store.rotate, token)

    async def delete(self, token: str) -> bool:
        """End a session; return whether there was one."""
        return await self._write(self._store.delete, token)

    # Sessions of a subject

    async def sessions(self, subject: str) -> AsyncIterator[Session]:
        """Yield the live sessions of a subject: their handles and data, never their tokens.

        Sessions that start or end meanwhile may be seen or not.
        """
        found = self._store.sessions(subject)
        while some := await asyncio.wrap_future(self._submit(lambda: list(islice(found, PAGE)))):
            for session in some:
                if self._closing:
                    raise StoreClosed
                yield session

    async def revoke(self, subject: str, *, keep: str | None = None) -> int:
        """End every session of a subject, but that of the token `keep`; return how many were alive."""
        return await self._long_in_thread(self._store.revoke, subject, keep=keep)

    async def revoke_id(self, id: str) -> bool:  # noqa: A002 - named as Session.id is
        """End one session by its handle, `Session.id`; return whether there was one."""
        return await self._write(self._store.revoke_id, id)

    # Many sessions in one transaction

    async def create_many(
        self,
        data: Iterable[dict[Any, Any]],
        ttl: float | None = None,
        max_reads: int | None = None,
        *,
        idle: float | None = None,
        subject: str | None = None,
    ) -> list[str]:
        """Start a session for each item of `data`, all or none; return their tokens in order."""
        return await self._write_many(self._store.create_many, data, ttl, max_reads, idle=idle, subject=subject)

    async def read_many(self, tokens: Iterable[str]) -> list[Session | None]:
        """Read many tokens as of one moment; results in order."""
        return await self._write_many(self._store.read_many, tokens)

    async def delete_many(self, tokens: Iterable[str]) -> int:
        """End many sessions, all in one transaction; return how many were alive."""
        return await self._write_many(self._store.delete_many, tokens)

    # The store

    async def stats(self) -> Stats:
        """Return counters of the whole store; cheap enough to call often."""
        return self._store.stats()

    async def sweep(self) -> int:
        """Remove expired sessions now; return how many."""
        return await self._long_in_thread(self._store.sweep)

    async def sync(self) -> None:
        """Return when every change that was made before the call is on disk."""
        await self._long_in_thread(self._store.sync)

    async def backup(self, path: str | PathLike[str]) -> None:
        """Write a copy of the store, as of one moment, to a new directory, while others go on reading and writing."""
        await self._long_in_thread(self._store.backup, path)

    async def close(self) -> None:
        """Wait for what the threads are at, sync and close. Calling it again does nothing."""
        self._closing = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._pid == os.getpid():
            self._writer.shutdown()
            self._threads.shutdown()
        self._store.close()

    async def __aenter__(self) -> "AsyncStore":
        """Return the store; it is closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    def __repr__(self) -> str:
        """Say where the store is, and nothing of what it holds."""
        return f"<AsyncStore of {self._store!r}>"

    # Where it is done

    async def _write(self, call: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
        if self._inline and not self._long:
            return call(*arguments, **keywords)
        return await self._briefly_in_thread(call, *arguments, **keywords)

    async def _write_many(
        self, call: Callable[..., Result], items: Iterable[Any], *arguments: Any, **keywords: Any
    ) -> Result:
        items = listed(items)
        if is_small(items):
            return await self._write(call, items, *arguments, **keywords)
        return await self._long_in_thread(call, items, *arguments, **keywords)

    async def _briefly_in_thread(self, call: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
        """Do in a thread what holds the write lock for a moment at most."""
        self._require_threads()
        return await asyncio.wrap_future(self._writer.submit(call, *arguments, **keywords))

    async def _long_in_thread(self, call: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
        """Do what may take long. Until it is done, no write is done inline: it might have to wait for this one."""
        future = self._submit(call, *arguments, **keywords)
        self._long.add(future)
        future.add_done_callback(self._long.discard)
        return await asyncio.wrap_future(future)

    def _submit(self, call: Callable[..., Result], *arguments: Any, **keywords: Any) -> "Future[Result]":
        self._require_threads()
        return self._threads.submit(call, *arguments, **keywords)

    def _require_threads(self) -> None:
        if self._closing:
            raise StoreClosed
        if self._pid != os.getpid():  # those of the parent do not run in a forked child
            self._renew_threads()

    def _renew_threads(self) -> None:
        """Get ready for threads, which start when they are needed.

        One makes the ordinary writes. There is one write lock, so that more of them would only keep each other, and the
        loop, from the interpreter; but those that wait for a sync to disk share it.
        """
        self._writer = ThreadPoolExecutor(_THREADS if self._durable else 1, "crudjt-aio-writer")
        self._threads = ThreadPoolExecutor(_THREADS, "crudjt-aio")
        self._long: set[Future[Any]] = set()
        self._pid = os.getpid()


def listed(items: Iterable[Any]) -> Iterable[Any]:
    """Return items that are yielded as a list, which is not for a thread: it is the caller's code that yields them."""
    return list(items) if isinstance(items, Iterable) and not isinstance(items, Sized) else items


def is_small(items: Iterable[Any]) -> bool:
    """Tell whether a call for all of these takes well under a millisecond, or is refused at once."""
    return not isinstance(items, Sized) or len(items) <= _FEW
