"""Sessions of Litestar: a middleware that gives each request its `request.session`.

    Litestar(handlers, middleware=[DefineMiddleware(SessionMiddleware, store=crudjt.aio.open("sessions"))])

It stands in the place of Litestar's own server-side sessions, which choose the keys of their store themselves, and take
any that a cookie brings: here the store mints each token, and no other is adopted.
"""

from collections.abc import Mapping
from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import MutableScopeHeaders
from litestar.types import ASGIApp, Message, Receive, Scope, Send

import crudjt
from crudjt.aio import AsyncStore
from crudjt.contrib._asgi import BrowserSession
from crudjt.contrib._cookie import WITH_HEADERS, CookieSessions, SameSite

__all__ = ["BrowserSession", "SessionMiddleware"]


class SessionMiddleware:
    """Gives each request and each websocket its `request.session`, a `BrowserSession`.

    ``request.set_session(…)`` puts other data into it, ``request.clear_session()`` ends it.
    """

    def __init__(
        self,
        app: ASGIApp,
        store: crudjt.Store | AsyncStore,
        *,
        session_cookie: str = "session",
        max_age: int | None = 14 * 24 * 60 * 60,
        idle_timeout: float | None = None,
        path: str = "/",
        same_site: SameSite = "lax",
        https_only: bool = True,
        domain: str | None = None,
        partitioned: bool = False,
    ) -> None:
        """Wrap an application; the parameters are those of `crudjt.contrib.starlette.SessionMiddleware`.

        Raises:
            InvalidParameter: a parameter cannot be used.

        """
        self.app = app
        self._sessions = CookieSessions(
            store,
            name=session_cookie,
            max_age=max_age,
            idle_timeout=idle_timeout,
            path=path,
            same_site=same_site,
            https_only=https_only,
            domain=domain,
            partitioned=partitioned,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        sessions = self._sessions
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        session = await sessions.load(connection.cookies.get(sessions.name))
        scope["session"] = session

        async def send_with_cookie(message: Message) -> None:
            if message["type"] in WITH_HEADERS:
                _take(scope, session)
                cookie = await sessions.save(session)
                headers = MutableScopeHeaders.from_message(message)
                headers.extend_header_value("Vary", "Cookie")
                if cookie:
                    headers.add("Set-Cookie", cookie)
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_cookie)
        _take(scope, session)
        await sessions.save_late(session)


def _take(scope: Scope, session: BrowserSession) -> None:
    """Take over what the application has put in the place of the session."""
    current: Any = scope["session"]
    if current is session:
        return
    if isinstance(current, Mapping):
        session.replace(current)
    else:
        session.clear()
    scope["session"] = session
