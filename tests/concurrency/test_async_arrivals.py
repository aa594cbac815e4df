"""What threads finish for an event loop while it does something else reaches it together."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

import crudjt
import crudjt.aio
from crudjt._core.event_loops import awaitable
from tests.support.embedded import engine_of
from tests.support.waiting import PATIENCE

WRITES = 50


class Wakings:
    """Counts how often a loop is woken by other threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._wake = loop.call_soon_threadsafe
        monkeypatch.setattr(loop, "call_soon_threadsafe", self._counted)

    def _counted(self, *arguments: Any, **keywords: Any) -> Any:
        self.count += 1
        return self._wake(*arguments, **keywords)


def test_writes_that_were_made_while_the_loop_did_something_else_wake_it_once(
    store: crudjt.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asynchronous = crudjt.aio.wrap(store)
    engine, writer = engine_of(store), asynchronous._threads._writer  # type: ignore[attr-defined] # of an embedded one

    async def write_while_the_lock_is_held() -> int:
        await asynchronous.create({})
        wakings = Wakings(asyncio.get_running_loop(), monkeypatch)
        with engine._writing:
            writing = [asyncio.ensure_future(asynchronous.create({"n": number})) for number in range(WRITES)]
            await asyncio.sleep(0)
        # The loop stands still until the thread that writes has carried out and handed over all that it had to do.
        writer.submit(int).result(PATIENCE)
        tokens = await asyncio.gather(*writing)
        assert len(set(tokens)) == WRITES
        return wakings.count

    assert asyncio.run(write_while_the_lock_is_held()) == 1


def finished(result: Callable[[], object]) -> "Future[object]":
    """Return the future of a call that a thread has made."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(result)


def test_results_errors_and_cancellations_of_one_waking_reach_who_waits_for_them() -> None:
    async def wait_for_all() -> list[object]:
        given_up = awaitable(finished(lambda: 2))
        waiting = [awaitable(finished(lambda: 1)), given_up, awaitable(finished(lambda: 1 // 0))]
        never_begun: Future[object] = Future()
        waiting.append(awaitable(never_begun))
        never_begun.cancel()
        never_begun.set_running_or_notify_cancel()
        assert isinstance(given_up, asyncio.Future)
        given_up.cancel()
        return await asyncio.gather(*waiting, return_exceptions=True)

    one, *others = asyncio.run(wait_for_all())
    assert one == 1
    assert [type(each) for each in others] == [asyncio.CancelledError, ZeroDivisionError, asyncio.CancelledError]


def test_a_loop_that_has_ended_is_not_woken() -> None:
    future: Future[object] = Future()

    async def leave() -> None:
        awaitable(future)

    asyncio.run(leave())
    future.set_result(None)
