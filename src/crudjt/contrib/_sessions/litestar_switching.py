"""The server-side sessions of Litestar, in any of its stores: read and ended by their own backend."""

import logging
from datetime import date, datetime
from typing import Any

from litestar.connection import ASGIConnection
from litestar.middleware.session.server_side import ServerSideSessionBackend, ServerSideSessionConfig

import crudjt
from crudjt.contrib._sessions.asgi_sessions import AnySession, Sessions
from crudjt.contrib._sessions.reserved import split
from crudjt.contrib._sessions.switching import Claim, Window, checked_until

logger = logging.getLogger("crudjt.contrib")

Connection = ASGIConnection[Any, Any, Any, Any]


class TakeOver:
    """The server-side sessions that an application of Litestar had, and until when they are taken over."""

    def __init__(self, config: ServerSideSessionConfig, until: date | datetime) -> None:
        """Take the configuration of before, whose store stays in ``stores`` of the application.

        Args:
            config: of the old sessions. Its `key` has to be that of the new ones.
            until: the last day, in UTC, or a datetime with a time zone.

        Raises:
            InvalidParameter: one cannot be used.

        """
        given: object = config
        if not isinstance(given, ServerSideSessionConfig):
            raise crudjt.InvalidType(
                "take_over", f"take_over needs a ServerSideSessionConfig, not {type(given).__name__}"
            )
        self._backend: Any = ServerSideSessionBackend(config)
        self._config = config
        self._window = Window(checked_until("take_over", until))

    def require_cookie(self, name: str) -> None:
        """Raise `InvalidParameter` if the old sessions have a cookie of another name: none would be taken over."""
        if self._config.key != name:
            raise crudjt.InvalidParameter(
                "take_over",
                f"take_over has a cookie of another name: set its key to {name!r}, or both to that of before",
            )

    async def session(self, connection: Connection, sessions: Sessions, kind: type[AnySession]) -> AnySession | None:
        """Return the old session of the cookie of a connection, ``None`` if it names none, or was taken over."""
        value = connection.cookies.get(sessions.cookie.name, "")
        config = self._config
        if not value or not self._window.admits(value):
            return None
        data, _ = split(await self._backend.load_from_connection(connection))
        claim = Claim(value, config.max_age)
        if not data or await claim.is_taken_in(sessions.store):
            return None

        async def end() -> None:
            try:
                await self._backend.delete(value, config.get_store_from_app(connection.scope["litestar_app"]))
            except Exception:  # whatever that store raises
                logger.exception("an old session was taken over, but could not be deleted")

        old = sessions.old(data, claim, kind)
        old.end_old = end
        return old
