"""The counters of the store over the last minutes, read once for all who look at them."""

import time
from collections import deque
from datetime import datetime, timezone
from typing import NamedTuple

import anyio

from crudjt._core.stats import Stats
from crudjt.admin.journal import Counts, Journal
from crudjt.base import AsyncStore
from crudjt.errors import StoreError

SECONDS = 2.0
"""Between two looks at the store, and between two messages to a page."""

_KEPT = 150  # beats: five minutes
_REST = 20  # times as long as a look took: a store on servers counts its sessions one by one


class Beat(NamedTuple):
    """The counters at one time; or why there are none.

    Attributes:
        at: the time, in seconds of a clock that is never set.
        time: the time.
        stats: the counters of the store, ``None`` if it did not answer.
        counts: the sessions that have begun and ended so far, ``None`` where that is not known.
        error: why there are no counters.

    """

    at: float
    time: datetime
    stats: Stats | None
    counts: Counts | None = None
    error: str = ""


class Pulse:
    """Reads the counters when a page needs them, and no more often than every `SECONDS` for all pages together."""

    def __init__(self, store: AsyncStore, journal: Journal) -> None:
        """Take an open store, and its events."""
        self._store = store
        self._journal = journal
        self._lock = anyio.Lock()
        self._good_until = 0.0
        self.beats: deque[Beat] = deque(maxlen=_KEPT)

    async def latest(self) -> Beat:
        """Return the latest counters, which are read if they are old."""
        async with self._lock:
            begun = time.monotonic()
            if not self.beats or begun >= self._good_until:
                self.beats.append(await self._beat())
                took = time.monotonic() - begun
                self._good_until = begun + max(SECONDS * 0.9, _REST * took)
            return self.beats[-1]

    async def _beat(self) -> Beat:
        now = datetime.now(timezone.utc)
        try:
            stats = await self._store.stats()
        except StoreError as error:
            return Beat(time.monotonic(), now, None, error=str(error))
        return Beat(time.monotonic(), now, stats, self._journal.look())
