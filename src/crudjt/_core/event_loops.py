"""The event loop of the caller: asyncio, or trio.

trio is never imported here before the caller has done so; it brings sniffio, which knows the loop of the current task.
"""

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import Awaitable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

Result = TypeVar("Result")


def runs_trio() -> bool:
    """Return whether the current task is one of trio."""
    if "trio" not in sys.modules:
        return False
    import sniffio  # noqa: PLC0415 - no dependency: trio requires it

    return sniffio.current_async_library() == "trio"


class _Arrivals:
    """Results of threads for an event loop, which is woken once for all that come before it looks."""

    def __init__(self) -> None:
        self._finished: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._woken = False

    def arrive(self, loop: asyncio.AbstractEventLoop, waiting: "asyncio.Future[Any]", future: "Future[Any]") -> None:
        """Note a future that is done, in any thread, and wake the loop if it has not been."""
        self._finished.append((waiting, future))
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing waits
                loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # First: who comes from here on wakes the loop again, and who has come is in the queue.
        self._woken = False
        while self._finished:
            waiting, future = self._finished.popleft()
            if waiting.done():
                continue
            if future.cancelled():
                waiting.cancel()
            elif (error := future.exception()) is not None:
                waiting.set_exception(error)
            else:
                waiting.set_result(future.result())


_arrivals: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Arrivals]" = WeakKeyDictionary()


def awaitable(future: "Future[Result]") -> Awaitable[Result]:
    """Return what waits for a thread. If the caller is cancelled, work that no thread has begun is not done."""
    if runs_trio():
        return _in_trio(future)
    # As `asyncio.wrap_future`, which wakes the loop for each: a system call, and a fight for the interpreter.
    loop = asyncio.get_running_loop()
    arrivals = _arrivals.get(loop)
    if arrivals is None:
        arrivals = _arrivals[loop] = _Arrivals()
    waiting: asyncio.Future[Result] = loop.create_future()
    waiting.add_done_callback(lambda _: future.cancel() if waiting.cancelled() else None)
    future.add_done_callback(partial(arrivals.arrive, loop, waiting))
    return waiting


async def sleep(seconds: float) -> None:
    """Wait for some time."""
    if not runs_trio():
        await asyncio.sleep(seconds)
        return
    import trio  # noqa: PLC0415 - as above

    await trio.sleep(seconds)


async def finish(work: Coroutine[Any, Any, object]) -> None:
    """Carry work out to its end, also if the caller is cancelled while it runs."""
    if not runs_trio():
        await asyncio.shield(work)
        return
    import trio  # noqa: PLC0415 - as above

    with trio.CancelScope(shield=True):
        await work


async def _in_trio(future: "Future[Result]") -> Result:
    import trio  # noqa: PLC0415 - as above

    finished = trio.Event()
    loop = trio.lowlevel.current_trio_token()

    def wake(_: "Future[Result]") -> None:
        with contextlib.suppress(trio.RunFinishedError):  # the caller was cancelled, and its loop has ended
            loop.run_sync_soon(finished.set)

    future.add_done_callback(wake)
    try:
        await finished.wait()
    except trio.Cancelled:
        future.cancel()
        raise
    return future.result()
