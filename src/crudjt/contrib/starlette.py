"""Sessions of Starlette, and of what is built on it: `SessionMiddleware`, in the place of Starlette's own.

    app = Starlette(routes, middleware=[Middleware(SessionMiddleware, store=crudjt.aio.open("sessions"))])

The cookie holds the token, the data stays in the store. A cookie that the store did not mint is never adopted.
"""

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import crudjt
from crudjt.aio import AsyncStore
from crudjt.contrib._asgi import BrowserSession
from crudjt.contrib._cookie import WITH_HEADERS, CookieSessions, SameSite

__all__ = ["BrowserSession", "SessionMiddleware"]


class SessionMiddleware:
    """Gives each request and each websocket its `request.session`, a `BrowserSession`."""

    def __init__(
        self,
        app: ASGIApp,
        store: crudjt.Store | AsyncStore,
        session_cookie: str = "session",
        max_age: int | None = 14 * 24 * 60 * 60,
        path: str = "/",
        same_site: SameSite = "lax",
        https_only: bool = True,
        domain: str | None = None,
        partitioned: bool = False,
        *,
        idle_timeout: float | None = None,
    ) -> None:
        """Wrap an application.

        Args:
            app: the application.
            store: an open store; who opened it closes it.
            session_cookie: the name of the cookie; ``"__Host-session"`` keeps other hosts of a domain from setting it.
            max_age: how long a session lives at most, in seconds from login, and its cookie. ``None`` for no such end,
                and a cookie that goes with the browser.
            path: of the cookie.
            same_site: of the cookie.
            https_only: whether the cookie is sent over TLS only.
            domain: of the cookie; ``None`` for this host alone.
            partitioned: of the cookie.
            idle_timeout: ends a session when no request uses it for that many seconds. ``None`` for no such end.

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
        session = await sessions.load(HTTPConnection(scope).cookies.get(sessions.name))
        scope["session"] = session

        async def send_with_cookie(message: Message) -> None:
            if message["type"] in WITH_HEADERS:
                cookie = await sessions.save(session)
                message.setdefault("headers", [])
                headers = MutableHeaders(scope=message)
                if session.accessed or cookie:
                    headers.add_vary_header("Cookie")
                if cookie:
                    headers.append("Set-Cookie", cookie)
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_cookie)
        await sessions.save_late(session)
