"""The session core on an `AsyncStore`."""

from collections.abc import Generator
from typing import Any, TypeVar

from crudjt import AsyncStore
from crudjt.contrib._sessions.calls import UNKNOWN, Call
from crudjt.errors import VersionConflict

Result = TypeVar("Result")


async def run(store: AsyncStore, steps: Generator[Call, Any, Result], known: Any = UNKNOWN) -> Result:
    """Carry out the calls that the core yields; the answer to the first may be known."""
    try:
        call = next(steps)
        if known is not UNKNOWN:
            call = steps.send(known)
        while True:
            try:
                answer = await call.on(store)
            except VersionConflict as conflict:
                answer = conflict
            except Exception as error:  # noqa: BLE001 - the core decides what follows, and raises it again
                call = steps.throw(error)
                continue
            call = steps.send(answer)
    except StopIteration as end:
        result: Result = end.value
        return result
