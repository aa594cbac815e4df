"""The sessions of starsessions, in any of its stores: read and ended by that store."""

import logging
from datetime import date, datetime, timedelta
from typing import Any, Protocol

import crudjt
from crudjt.contrib._sessions.calls import Data
from crudjt.contrib._sessions.cookie import check_seconds
from crudjt.contrib._sessions.old_cookies import OldCookies
from crudjt.contrib._sessions.reserved import split
from crudjt.contrib._sessions.switching import Window, checked_until

logger = logging.getLogger("crudjt.contrib")

_METADATA = "__metadata__"  # of starsessions, beside the data


class Stored(Protocol):
    """A store of starsessions."""

    async def read(self, session_id: str, lifetime: int) -> bytes:
        """Return the stored bytes, none if there is no such session."""
        ...

    async def remove(self, session_id: str) -> None:
        """Remove a session."""


class Serializer(Protocol):
    """A serializer of starsessions."""

    def deserialize(self, data: bytes) -> dict[str, Any]:
        """Return the data of stored bytes."""
        ...


class TakeOverStarsessions(OldCookies):
    """The sessions that an application had by starsessions, and until when they are taken over."""

    def __init__(
        self,
        store: Stored,
        until: date | datetime,
        lifetime: int | timedelta = 0,
        serializer: Serializer | None = None,
    ) -> None:
        """Take what `starsessions.SessionMiddleware` was given. The name of the cookie is that of the new one.

        Args:
            store: the store of the old sessions.
            until: the last day, in UTC, or a datetime with a time zone.
            lifetime: how long a session lived, in seconds or as a `timedelta`; 0 for as long as the browser runs.
            serializer: that of the old sessions; ``None`` for JSON.

        Raises:
            InvalidParameter: one cannot be used.

        """
        from starsessions import JsonSerializer, SessionStore  # noqa: PLC0415 - no dependency

        given: object = store
        if not isinstance(given, SessionStore):
            raise crudjt.InvalidType("store", f"store must be a store of starsessions, not {type(given).__name__}")
        self._store = store
        self._serializer: Serializer = JsonSerializer() if serializer is None else serializer
        if not callable(getattr(self._serializer, "deserialize", None)):
            raise crudjt.InvalidType("serializer", "serializer must be a serializer of starsessions, or None for JSON")
        seconds = lifetime.total_seconds() if isinstance(lifetime, timedelta) else lifetime
        check_seconds("lifetime", seconds, 0)
        self._lifetime = int(seconds)
        self._window = Window(checked_until("take_over", until))
        self.max_age: float | None = self._lifetime or None

    async def data(self, value: str) -> Data:
        """Return the data of the value of a cookie, none if it is no old one."""
        if not self._window.admits(value):
            return {}
        stored = await self._store.read(value, self._lifetime)
        data = dict(self._serializer.deserialize(stored)) if stored else {}
        data.pop(_METADATA, None)
        return split(data)[0]

    async def end(self, value: str) -> None:
        """Remove the old session from its store."""
        try:
            await self._store.remove(value)
        except Exception:  # whatever that store raises
            logger.exception("an old session was taken over, but could not be deleted")
