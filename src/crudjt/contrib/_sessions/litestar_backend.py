"""The session backend of Litestar: loads the session of a request, and stores it as the response begins."""

from typing import TYPE_CHECKING, Any

from litestar.middleware.session.base import BaseSessionBackend
from litestar.types import Message

from crudjt.contrib._sessions.browser import BrowserSession
from crudjt.contrib._sessions.headers import add_headers, phase_of
from crudjt.contrib._sessions.litestar_scope import replace
from crudjt.contrib._sessions.litestar_switching import Connection
from crudjt.contrib._sessions.watched import WatchedSession

if TYPE_CHECKING:
    from crudjt.contrib.litestar import SessionConfig  # noqa: F401 - in the text below; it imports this module


class SessionBackend(BaseSessionBackend["SessionConfig"]):
    """Loads and stores sessions for Litestar's session middleware and its test client."""

    def get_session_id(self, connection: Connection) -> str | None:
        """Return the handle of the session, which is no token; ``None`` before it is stored."""
        scope: Any = connection.scope
        session = scope.get("session")
        return session.id if isinstance(session, BrowserSession) else None

    async def load_from_connection(self, connection: Connection) -> BrowserSession:
        """Return the session that the cookie of a connection names, or an empty one."""
        sessions = self.config.sessions
        session = await sessions.load(connection.cookies.get(sessions.cookie.name), WatchedSession)
        if session.held is None and self.config.take_over is not None:
            old = await self.config.take_over.session(connection, sessions, WatchedSession)
            return session if old is None else old  # not by its truth: it would note that as a look
        return session

    async def store_in_message(self, scope_session: Any, message: Message, connection: Connection) -> None:
        """Store a session, and set or remove the cookie in the message that begins a response."""
        session = scope_session
        if not isinstance(session, BrowserSession):  # as the test client has it
            session = await self.load_from_connection(connection)
            replace(session, scope_session)
        accessed = session.accessed  # before it is stored, which looks at it too
        sessions, before = self.config.sessions, session.held
        scope: Any = connection.scope
        cookie = None if session.seal_if_stored() else await sessions.save(session, phase_of(message), scope)
        if cookie or accessed:
            add_headers(message, cookie)
        if cookie:
            given: Any = message
            given["headers"] += await sessions.device.headers(sessions.store, scope, before, session.held)
            sessions.warn_if_insecure(scope.get("scheme"))
