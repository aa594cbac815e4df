"""Measure for how long a store holds an event loop, under load.

    python benchmarks/event_loop.py [--seconds 5] [--sessions 20000] [--writes thread|inline]

One loop serves clients that read, create, update and delete as fast as they can. Beside them, in turn: nothing, other
processes that do the same, large calls through the same store (`create_many`, `revoke`, `sessions`, `backup`, `sync`),
the same in another process, a full compaction of the log, and ``durability="full"``. Two figures for each, in
milliseconds:

- held: how long a step of the loop took that called the store, less the time in which the kernel ran something else
  in its place though it could have gone on (``/proc/thread-self/schedstat``): a busy machine is not the store's fault.
  What is left of that, the baseline shows: the same loop with clients that only compute.
- late: by how much a timer of a millisecond came late, which includes all that the machine does beside.
"""

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import crudjt.aio
from crudjt.aio import AsyncStore

CLIENTS = 20
DATA = {"user_id": 42, "role": "editor", "theme": "dark", "cart": [1, 2, 3]}
_SPAWN = multiprocessing.get_context("spawn")

Load = Callable[[AsyncStore], Awaitable[None]]


class Watch:
    """Notes the longest step of a loop, and how late its timers come."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.late: list[float] = []
        self._schedule = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    async def tick(self) -> None:
        """Sleep a millisecond at a time."""
        while True:
            due = time.perf_counter() + 0.001
            await asyncio.sleep(0.001)
            self.late.append(time.perf_counter() - due)

    async def client(self, store: AsyncStore | None) -> None:
        """Live through sessions, one call a step."""
        for number in count():
            if store is None:
                await self.timed(compute)
                continue
            token = await self.timed(store.create, DATA, ttl=3600, subject=f"user {number % 100}")
            for _ in range(5):
                await self.timed(store.read, token)
            await self.timed(store.update, token, DATA)
            await self.timed(store.delete, token)

    async def timed(self, call: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Make a call; note how long its first step takes, which is all of it where it is done inline."""
        coroutine = call(*arguments, **keywords)
        start = self._now()
        try:
            waiting = coroutine.send(None)
        except StopIteration as done:
            self.steps.append(self._now() - start)
            await asyncio.sleep(0)
            return done.value
        self.steps.append(self._now() - start)
        return await _resumed(coroutine, waiting)

    def _now(self) -> float:
        """Return the time, which stands still while another thread has this one's place on a processor."""
        delayed = int(os.pread(self._schedule, 100, 0).split()[1])
        return time.perf_counter() - delayed / 1e9


class _resumed:  # noqa: N801 - awaited like a function
    """Goes on with a coroutine whose first step has been made."""

    def __init__(self, coroutine: Any, waiting: Any) -> None:
        self._coroutine = coroutine
        self._waiting = waiting

    def __await__(self) -> Any:
        waiting = self._waiting
        while True:
            yield waiting
            try:
                waiting = self._coroutine.send(None)
            except StopIteration as done:
                return done.value


async def compute() -> None:
    """Take about as long as a write, and use nothing but the processor."""
    sum(range(500))


def other_process(path: Path, key: str, large: int, ready: Event, stop: Event) -> None:
    """Work on the store with ordinary calls, or with large ones of so many sessions."""
    with crudjt.open(path, secret_key=key) as store:
        ready.set()
        while not stop.is_set():
            if large:
                store.create_many([DATA] * large, subject="crowd of another")
                store.revoke("crowd of another")
            else:
                token = store.create(DATA, ttl=3600)
                store.read(token)
                store.update(token, DATA)
                store.delete(token)


async def large_calls(store: AsyncStore, sessions: int, directory: Path) -> None:
    """Make them, again and again."""
    for number in count():
        tokens = await store.create_many([DATA] * sessions, subject="crowd")
        await store.read_many(tokens[: sessions // 10])
        async for _ in store.sessions("crowd"):
            pass
        await store.backup(directory / f"backup {number}")
        await store.sync()
        await store.revoke("crowd")
        await store.sweep()


async def compactions(store: AsyncStore) -> None:
    """Let the caretaker's compaction happen, again and again."""
    from crudjt.engine import maintenance  # noqa: PLC0415 - the only one that looks behind the face

    engine = store._store._engine  # noqa: SLF001 - as above
    while True:
        await asyncio.to_thread(maintenance.compact, engine, time.time_ns() // 1_000_000)


async def measure(name: str, seconds: float, store: AsyncStore | None, *beside: Awaitable[None]) -> None:
    """Run the clients, and what is beside them; print what was seen."""
    watch = Watch()
    tasks = [asyncio.ensure_future(each) for each in (watch.tick(), *beside)]
    tasks += [asyncio.ensure_future(watch.client(store)) for _ in range(CLIENTS)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    print(f"{name:34}{len(watch.steps):>10}{_summary(watch.steps)}{_summary(watch.late)}", flush=True)


def _summary(seconds: list[float]) -> str:
    if not seconds:
        return f"{'':>27}"
    ordered = sorted(seconds)
    figures = (ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.999)], ordered[-1])
    return "".join(f"{1000 * each:>9.3f}" for each in figures)


async def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--sessions", type=int, default=20_000, help="of a large call")
    parser.add_argument("--writes", choices=["thread", "inline"], default="thread")
    settings = parser.parse_args()
    key = crudjt.generate_secret_key()
    with tempfile.TemporaryDirectory(prefix="crudjt-bench-") as name:
        path = Path(name) / "store"
        print("".join(f"{each:>9}" for each in ("held: p50", "p99.9", "max", "late: p50", "p99.9", "max")).rjust(98))
        await measure("baseline", settings.seconds, None)
        async with crudjt.aio.open(path, secret_key=key, writes=settings.writes) as store:
            await measure("alone", settings.seconds, store)
            for title, large in (("beside another process", 0), ("beside one with large calls", settings.sessions)):
                ready, stop = _SPAWN.Event(), _SPAWN.Event()
                process = _SPAWN.Process(target=other_process, args=(path, key, large, ready, stop))
                process.start()
                await asyncio.to_thread(ready.wait, 30)
                await measure(title, settings.seconds, store)
                stop.set()
                await asyncio.to_thread(process.join, 60)
            await measure(
                "with large calls", settings.seconds, store, large_calls(store, settings.sessions, Path(name))
            )
            await measure("with compactions", settings.seconds, store, compactions(store))
        async with crudjt.aio.open(path, secret_key=key, durability="full") as store:
            await measure('durability="full"', settings.seconds, store)


if __name__ == "__main__":
    asyncio.run(main())
