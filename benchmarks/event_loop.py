"""Measure for how long a store holds an event loop, under load.

    python benchmarks/event_loop.py [--seconds 5] [--sessions 20000] [--writes auto|thread|inline]

One loop serves clients that read, create, update and delete as fast as they can. Beside them, in turn: nothing, other
processes that do the same, large calls through the same store (`create_many`, `revoke`, `sessions`, `backup`, `sync`),
the same in another process, a full compaction of the log, and ``durability="full"``. Two figures for each, in
milliseconds, both less the time in which the kernel ran something else in the place of the loop's thread though it
could have gone on (``/proc/thread-self/schedstat``): a busy machine is not the store's fault.

- held: how long a step of the loop took that called the store.
- late: by how much a timer of a millisecond came late: the steps of all clients in between, and the wait for CPython's
  interpreter while another thread had it.

What a loop and threads cost without any store, two baselines show: clients that compute on the loop, and clients that
have a thread compute. Where another program takes the processor from a thread that has the interpreter, the loop waits
for both, and a virtual machine that is not run for a while does not know it; so hold each figure, and the number of
those over 5 ms, against the baselines of the same run. Objects that the imports made are exempt from garbage collection
(`gc.freeze`), since to go through them takes 15 to 35 ms, store or not.

Before that, what an update costs that meets no other, awaited and with the blocking store, in blocks that take turns.
"""

import argparse
import asyncio
import ctypes
import gc
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import count
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import crudjt.aio
from crudjt.aio import AsyncStore

CLIENTS = 20
LONG_SECONDS = 0.005
DATA = {"user_id": 42, "role": "editor", "theme": "dark", "cart": [1, 2, 3]}
_SPAWN = multiprocessing.get_context("spawn")
_PREAD = ctypes.PyDLL(None).pread  # unlike os.pread, it does not give the interpreter away

Load = Callable[[AsyncStore], Awaitable[None]]


class Watch:
    """Notes the longest step of a loop, and how late its timers come."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.late: list[float] = []
        self._schedule = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self._buffer = ctypes.create_string_buffer(100)

    async def tick(self) -> None:
        """Sleep a millisecond at a time."""
        while True:
            due = self._now() + 0.001
            await asyncio.sleep(0.001)
            self.late.append(self._now() - due)

    async def client(self, store: AsyncStore) -> None:
        """Live through sessions, one call a step."""
        for number in count():
            token = await self.timed(store.create, DATA, ttl=3600, subject=f"user {number % 100}")
            for _ in range(5):
                await self.timed(store.read, token)
            await self.timed(store.update, token, DATA)
            await self.timed(store.delete, token)

    async def computing_client(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Do without a store."""
        while True:
            await self.timed(call, *arguments)

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
        read = _PREAD(self._schedule, self._buffer, len(self._buffer), 0)
        return time.perf_counter() - int(self._buffer.raw[:read].split()[1]) / 1e9


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


def compute() -> None:
    """Take about as long as a write, and use nothing but the processor."""
    sum(range(500))


async def compute_inline() -> None:
    """Compute on the loop."""
    compute()


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
    """Compact the log, again and again, as the upkeep thread does."""
    from crudjt._backends.embedded.engine import compaction  # noqa: PLC0415 - the only one that looks behind the interface

    embedded: Any = store
    engine = embedded._store._engine  # noqa: SLF001 - as above
    while True:
        await asyncio.to_thread(compaction.compact, engine, time.time_ns() // 1_000_000)


async def measure(
    name: str, seconds: float, client: Callable[[Watch], Awaitable[None]], *beside: Awaitable[None]
) -> None:
    """Run the clients, and what is beside them; print what was seen."""
    watch = Watch()
    tasks = [asyncio.ensure_future(each) for each in (watch.tick(), *beside)]
    tasks += [asyncio.ensure_future(client(watch)) for _ in range(CLIENTS)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    print(f"{name:34}{len(watch.steps):>10}{_summary(watch.steps)}{_summary(watch.late)}", flush=True)


def _summary(seconds: list[float]) -> str:
    if not seconds:
        return f"{'':>34}"
    ordered = sorted(seconds)
    figures = (ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.999)], ordered[-1])
    long = sum(each > LONG_SECONDS for each in ordered)
    return "".join(f"{1000 * each:>9.3f}" for each in figures) + f"{long:>7}"


async def compare(path: Path, key: str) -> None:
    """Print the median of an update, awaited and not, in microseconds."""
    took: dict[str, list[int]] = {"Store": [], "AsyncStore": []}
    clock = time.perf_counter_ns
    with crudjt.open(path, secret_key=key) as store:
        tokens = store.create_many([DATA] * 200)
        async with crudjt.aio.open(path, secret_key=key) as awaited:
            for _ in range(50):
                for token in tokens:
                    start = clock()
                    store.update(token, DATA)
                    took["Store"].append(clock() - start)
                for token in tokens:
                    start = clock()
                    await awaited.update(token, DATA)
                    took["AsyncStore"].append(clock() - start)
    figures = (f"{name} {statistics.median(each) / 1000:.1f} µs" for name, each in took.items())
    print(f"an update: {', '.join(figures)}\n", flush=True)


async def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--sessions", type=int, default=20_000, help="of a large call")
    parser.add_argument("--writes", choices=["auto", "thread", "inline"], default="auto")
    settings = parser.parse_args()
    key = crudjt.generate_secret_key()
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="crudjt-bench-") as name:
        path = Path(name) / "store"
        await compare(path, key)
        columns = "".join(f"{each:>9}" for each in ("p50", "p99.9", "max")) + f"{'> 5 ms':>7}"
        print(f"{'':34}{'steps':>10}{'held:' + columns[5:]}{'late:' + columns[5:]}")
        await measure("baseline", settings.seconds, lambda watch: watch.computing_client(compute_inline))
        await measure(
            "baseline, in threads",
            settings.seconds,
            lambda watch: watch.computing_client(asyncio.to_thread, compute),
        )
        async with crudjt.aio.open(path, secret_key=key, writes=settings.writes) as store:
            client = partial(_client_of, store)
            await measure("alone", settings.seconds, client)
            for title, large in (("beside another process", 0), ("beside one with large calls", settings.sessions)):
                ready, stop = _SPAWN.Event(), _SPAWN.Event()
                process = _SPAWN.Process(target=other_process, args=(path, key, large, ready, stop))
                process.start()
                await asyncio.to_thread(ready.wait, 30)
                await measure(title, settings.seconds, client)
                stop.set()
                await asyncio.to_thread(process.join, 60)
            await measure(
                "with large calls", settings.seconds, client, large_calls(store, settings.sessions, Path(name))
            )
            await measure("with compactions", settings.seconds, client, compactions(store))
        async with crudjt.aio.open(path, secret_key=key, durability="full") as store:
            await measure('durability="full"', settings.seconds, partial(_client_of, store))


async def _client_of(store: AsyncStore, watch: Watch) -> None:
    await watch.client(store)


if __name__ == "__main__":
    asyncio.run(main())
