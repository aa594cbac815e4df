"""The event loop of the caller: asyncio, or trio.

trio is never imported here before the caller has done so; it brings sniffio, which knows the loop of the current task.
"""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


def runs_trio() -> bool:
    """Return whether the current task is one of trio."""
    if "trio" not in sys.modules:
        return False
    import sniffio  # noqa: PLC0415 - no dependency: trio requires it

    return sniffio.current_async_library() == "trio"


def awaitable(future: "Future[Result]") -> Awaitable[Result]:
    """Return what waits for a thread. If the caller is cancelled, work that no thread has begun is not done."""
    return _in_trio(future) if runs_trio() else asyncio.wrap_future(future)


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
