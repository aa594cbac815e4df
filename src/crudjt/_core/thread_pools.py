"""Threads in which an `AsyncStore` makes calls that may wait."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from crudjt._core.event_loops import awaitable, sleep
from crudjt.errors import StoreClosed

Result = TypeVar("Result")

PAGE = 100  # sessions that an iteration fetches at a time

_THREADS = 32
_FEW = 32  # sessions: a call for so many takes well under a millisecond


class ThreadPools:
    """The threads of one `AsyncStore`: one pool for short writes, one for calls that may take long.

    They start when they are needed, and again in a forked child, where those of the parent do not run. A call that is
    cancelled before a thread has begun it is not made; one that has begun is finished.
    """

    def __init__(self, writers: int = 1) -> None:
        """Prepare pools with at most `writers` threads for short writes. No thread is started."""
        self._writers = writers
        self.closing = False
        self._renew()

    async def run_short(self, call: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
        """Make a call that holds the write lock for a short time, in a thread of the writers."""
        self._require_open()
        return await awaitable(self._writer.submit(call, *arguments, **keywords))

    async def run_long(self, call: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
        """Make a call that may take long; it is in `long` until it has returned."""
        future = self.submit(call, *arguments, **keywords)
        self.long.add(future)
        future.add_done_callback(self.long.discard)
        return await awaitable(future)

    def submit(self, call: Callable[..., Result], *arguments: Any, **keywords: Any) -> "Future[Result]":
        """Make a call in a thread of those for long calls, and return its future."""
        self._require_open()
        return self._threads.submit(call, *arguments, **keywords)

    async def iterate(self, items: Iterator[Result]) -> AsyncIterator[Result]:
        """Yield the items of an iterator whose steps may take long, `PAGE` of them for each trip to a thread."""
        while page := await awaitable(self.submit(lambda: list(islice(items, PAGE)))):
            for item in page:
                if self.closing:
                    raise StoreClosed
                yield item

    async def flatten(self, lists: Iterator[list[Result]], pause: float) -> AsyncGenerator[Result, None]:
        """Yield the items of lists, each of which a thread fetches; wait for some seconds after an empty one.

        Not counted as a long call, which would send each write to a thread.
        """

        def step() -> list[Result] | None:
            return next(lists, None)

        while (items := await awaitable(self.submit(step))) is not None:
            for item in items:
                yield item
            if not items:
                await sleep(pause)

    async def close(self, then: Callable[[], None]) -> None:
        """Wait for the calls that run, then make the call that closes the store. No other call is made after this."""
        self.closing = True
        thread = ThreadPoolExecutor(1, "crudjt-aio-close")
        future = thread.submit(self._close, then)
        thread.shutdown(wait=False)
        await awaitable(future)

    def _close(self, then: Callable[[], None]) -> None:
        if self._pid == os.getpid():
            self._writer.shutdown()
            self._threads.shutdown()
        then()

    def _require_open(self) -> None:
        if self.closing:
            raise StoreClosed
        if self._pid != os.getpid():
            self._renew()

    def _renew(self) -> None:
        self._writer = ThreadPoolExecutor(self._writers, "crudjt-aio-writer")
        self._threads = ThreadPoolExecutor(_THREADS, "crudjt-aio")
        self.long: set[Future[Any]] = set()
        self._pid = os.getpid()


def listed(items: Iterable[Any]) -> Iterable[Any]:
    """Consume a generator, on the thread of the caller, whose code it is; return any other iterable as it is."""
    return list(items) if isinstance(items, Iterable) and not isinstance(items, Sized) else items


def is_small(items: Iterable[Any]) -> bool:
    """Return whether a call for these items takes well under a millisecond, or is refused at once."""
    return not isinstance(items, Sized) or len(items) <= _FEW
