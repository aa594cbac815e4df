"""The ends of sessions, for whoever must act on them at once. One `Endings` serves all websockets of a process."""

import asyncio
from collections import defaultdict
from contextlib import suppress

from crudjt import StoreInaccessible
from crudjt.aio import AsyncStore

LONGEST_WAIT = 30.0  # seconds until a session is looked at again, whatever the events say
LONGEST_WAIT_WITHOUT_EVENTS = 2.0


class Endings:
    """Wakes a waiting task when its session has ended, in whatever process that was."""

    def __init__(self, store: AsyncStore) -> None:
        """Take an open store; its events are followed from the first `wait` on."""
        self._store = store
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._longest_wait = LONGEST_WAIT
        self._following: asyncio.Task[None] | None = None

    async def wait(self, handle: str) -> None:
        """Return when the session with this `Session.id` has ended, was rotated or has expired."""
        if self._following is None:
            self._following = asyncio.create_task(self._follow())
            await asyncio.sleep(0)  # now it follows what comes next
        woken = asyncio.Event()
        self._waiting[handle].add(woken)
        try:
            while (session := await self._store.find(handle)) is not None:
                left = self._longest_wait if session.expires_in is None else session.expires_in
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(woken.wait(), min(left, self._longest_wait))
                woken.clear()
        finally:
            self._waiting[handle].discard(woken)
            if not self._waiting[handle]:
                del self._waiting[handle]

    async def _follow(self) -> None:
        """Wake tasks by the events of the store. Stores on Valkey or Redis servers have none: look more often there."""
        try:
            async for event in self._store.events():
                if event.kind == "gap":  # any session may have ended
                    self._wake(*self._waiting)
                elif event.kind in {"ended", "expired", "rotated"}:
                    self._wake(event.previous_id or event.id or "")
        except StoreInaccessible:
            self._longest_wait = LONGEST_WAIT_WITHOUT_EVENTS
            self._wake(*self._waiting)

    def _wake(self, *handles: str) -> None:
        for handle in handles:
            for woken in self._waiting.get(handle, ()):
                woken.set()
