"""The events of the store while a page is open, followed once for all pages."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

from crudjt._core.event_loops import runs_trio
from crudjt._core.events import Event
from crudjt.admin.access import SUBJECT
from crudjt.base import AsyncStore
from crudjt.errors import StoreError, StoreInaccessible

_KEPT = 200
_UNWATCHED_SECONDS = 30.0
_BEGUN = {"begun"}
_ENDED = {"ended", "expired"}


class Counts(NamedTuple):
    """How many sessions have begun and ended since the journal began to follow."""

    begun: int
    ended: int


class Journal:
    """Follows the events from the first look on, and until nothing has looked for half a minute.

    A store in Valkey or Redis servers has no events; then `available` is False from the first step on. It is so under
    trio too, where no task outlives the request that starts it.
    """

    def __init__(self, store: AsyncStore) -> None:
        """Take an open store."""
        self._store = store
        self._task: asyncio.Task[None] | None = None
        self._end: asyncio.TimerHandle | None = None
        self._recent: deque[tuple[int, Event]] = deque(maxlen=_KEPT)
        self._begun = self._ended = 0
        self.available: bool = True
        self.number: int = 0
        """How many events were kept so far."""
        self.since: float | None = None
        """When it began to follow without a break, in seconds since 1970; ``None`` while it does not."""

    def look(self) -> Counts | None:
        """Follow the store for some time from now on; return what was counted, ``None`` where there are no events."""
        if self.available and runs_trio():
            self.available = False
        if not self.available:
            return None
        loop = asyncio.get_running_loop()
        if self._task is None:
            try:
                events = self._store.events()  # a backend without events refuses here
            except StoreInaccessible:
                self.available = False
                return None
            self.since = time.time()
            if self.number:  # what happened since it last followed is not known
                self._recent.clear()
                self._keep(Event("gap", ""))
            self._task = loop.create_task(self._follow(events))
        if self._end is not None:
            self._end.cancel()
        self._end = loop.call_later(_UNWATCHED_SECONDS, self._task.cancel)
        return Counts(self._begun, self._ended)

    def after(self, number: int) -> Iterator[Event]:
        """Yield the events that were kept behind a number of them, oldest first."""
        return (event for at, event in list(self._recent) if at > number)

    async def _follow(self, events: AsyncIterator[Event]) -> None:
        try:
            async for event in events:
                self._take(event)
        except StoreInaccessible:  # as a server of such a backend says
            self.available = False
        except StoreError:
            pass  # the page says so by its other numbers; the next look begins again
        finally:
            self._task = self.since = None

    def _take(self, event: Event) -> None:
        self._begun += event.kind in _BEGUN
        self._ended += event.kind in _ENDED
        if event.subject == SUBJECT and event.kind == "changed":
            return  # each request of an operator is one
        self._keep(event)

    def _keep(self, event: Event) -> None:
        self.number += 1
        self._recent.append((self.number, event))
