"""An `AsyncStore` behind the interface of `Store`: the suite of the contract calls it as it calls the others."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import crudjt.aio
from crudjt.aio import AsyncStore
from tests.support.delegating import DelegatingStore, open_delegating
from tests.support.interface import SIGNATURES
from tests.support.remote_server import ServedStore

PATIENCE = 100


class Loop:
    """An event loop in a thread of its own, which any thread may ask."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop", daemon=True)
        self._thread.start()
        self._second: Loop | None = None

    def run(self, coroutine: Any) -> Any:
        """Return what a coroutine returns. Called on the loop, as by the clock of a store, it uses another one."""
        if threading.current_thread() is self._thread:
            self._second = self._second or Loop()
            return self._second.run(coroutine)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def close(self) -> None:
        """End the loop and its thread."""
        if self._second is not None:
            self._second.close()
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


class DrivenStore(DelegatingStore):
    """Asks an `AsyncStore`, and waits for the answer."""

    def __init__(self, store: AsyncStore, loop: Loop) -> None:
        self._async = store
        self._loop = loop

    @property
    def location(self) -> str:
        return self._async.location

    @property
    def durable(self) -> bool | None:
        return self._async.durable

    @property
    def max_data_bytes(self) -> int | None:
        return self._async.max_data_bytes

    def __getattribute__(self, name: str) -> Any:
        if name not in SIGNATURES or name == "sessions":
            return super().__getattribute__(name)
        method = getattr(self._async, name)
        return lambda *arguments, **keywords: self._loop.run(method(*arguments, **keywords))

    def sessions(self, subject: str) -> Iterator[crudjt.Session]:
        found = self._async.sessions(subject)
        while (session := self._loop.run(_next(found))) is not None:
            yield session
        self._loop.run(found.aclose())  # type: ignore[attr-defined] # a generator

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._async)


async def _next(found: AsyncIterator[crudjt.Session]) -> crudjt.Session | None:
    return await anext(found, None)


def open_driven(loop: Loop, path: Path, **options: Any) -> crudjt.Store:
    """Open an embedded store."""
    return DrivenStore(crudjt.aio.open(path, **options), loop)


def open_driven_remote(loop: Loop, path: Path, **options: Any) -> crudjt.Store:
    """Open a store on a server, which ends with it."""
    return DrivenStore(crudjt.aio.wrap(ServedStore(path, **options)), loop)


def open_driven_any(loop: Loop, path: Path, **options: Any) -> crudjt.Store:
    """Open a store of a kind that is only known by its interface, so that each of its calls has a thread."""
    return DrivenStore(crudjt.aio.wrap(open_delegating(path, **options)), loop)
