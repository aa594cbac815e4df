"""`EmbeddedStore`: a store in a directory, which every process of the host opens itself."""

import builtins
import time
from collections.abc import Callable, Iterator
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from crudjt._backends.embedded.engine import backup, sweep
from crudjt._backends.embedded.events import EventLog
from crudjt._backends.embedded.many_sessions import ManySessions
from crudjt._backends.embedded.one_session import OneSession
from crudjt._backends.embedded.stats import read_stats
from crudjt._core.events import Event, checked_position
from crudjt._core.stats import Stats
from crudjt.base import Writes

if TYPE_CHECKING:  # asyncio takes long to import
    from crudjt._backends.embedded.async_store import AsyncEmbeddedStore


class EmbeddedStore(OneSession, ManySessions):
    """A store in a directory. Reads are cached in the process; writes go through one lock for all processes."""

    def stats(self) -> Stats:
        return read_stats(self._engine, self._cache)

    def sweep(self, *, looked_at: Callable[[int], object] = lambda _sessions: None) -> int:
        """Report each batch of sessions that was looked at by their number, for a caller that shows progress."""
        return sweep.sweep(self._engine, self._clock, looked_at=looked_at)

    def sync(self) -> None:
        self._engine.sync()

    def backup(self, path: str | PathLike[str]) -> None:
        backup.backup(self._engine, Path(path))

    def events(self, after: str | None = None, *, follow: bool = True) -> Iterator[Event]:
        return chain.from_iterable(self.event_batches(after, follow=follow))

    def event_batches(
        self, after: str | None, *, follow: bool, wait: Callable[[float], None] = time.sleep
    ) -> Iterator[builtins.list[Event]]:
        """Yield events in lists, for callers that wait in another way; an empty one after each wait."""
        log = EventLog(lambda: self._engine, self._sessions.keyring, self._clock, checked_position(after))
        return log.batches(follow=follow, wait=wait)

    def asynchronous(self, *, writes: Writes = "auto") -> "AsyncEmbeddedStore":
        from crudjt._backends.embedded.async_store import AsyncEmbeddedStore  # noqa: PLC0415 - asyncio takes long to import

        return AsyncEmbeddedStore(self, writes=writes)
