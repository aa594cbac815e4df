"""Sessions of Starlette, and of what is built on it: `SessionMiddleware`, in the place of Starlette's own.

    app = Starlette(routes, middleware=[Middleware(SessionMiddleware, store=crudjt.aio.open("sessions"))])

The cookie holds the token, the data stays in the store. A cookie that the store did not mint is never adopted.
"""

import re
from typing import Literal, get_args

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import crudjt
from crudjt.aio import AsyncStore, wrap
from crudjt.contrib._asgi import BrowserSession, Outcome

__all__ = ["BrowserSession", "SessionMiddleware"]

SameSite = Literal["lax", "strict", "none"]

_WITH_HEADERS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ATTRIBUTE = re.compile(r"[ -:<-~]+")
_FORGET = "expires=Thu, 01 Jan 1970 00:00:00 GMT"


class SessionMiddleware:
    """Gives each request and each websocket its `request.session`, a `BrowserSession`.

    Attributes:
        store: where the sessions are; who opened it closes it.

    """

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
            store: an open store.
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
        if not isinstance(store, crudjt.Store | AsyncStore):
            raise crudjt.InvalidParameter("store", f"is of type {type(store).__name__}", "a Store or an AsyncStore")
        _check_seconds("max_age", max_age)
        _check_seconds("idle_timeout", idle_timeout)
        if max_age is None and idle_timeout is None:
            raise crudjt.InvalidParameter(
                "max_age", "and idle_timeout are both None", "at least one: sessions must end"
            )
        _check_cookie(session_cookie, path, same_site, domain, https_only=https_only, partitioned=partitioned)
        self.app = app
        self.store = wrap(store)
        self._cookie = session_cookie
        self._ttl = max_age
        self._idle = idle_timeout
        self._max_age = "" if max_age is None else f"; Max-Age={int(max_age)}"
        self._attributes = "".join(
            [
                f"; path={path}; httponly; samesite={same_site}",
                "; secure" if https_only else "",
                "" if domain is None else f"; domain={domain}",
                "; partitioned" if partitioned else "",
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        session = await BrowserSession.load(self.store, HTTPConnection(scope).cookies.get(self._cookie))
        scope["session"] = session

        async def send_with_cookie(message: Message) -> None:
            if message["type"] in _WITH_HEADERS:
                outcome = await session.save(self.store, self._ttl, self._idle)
                message.setdefault("headers", [])
                self._set_headers(MutableHeaders(scope=message), session, outcome)
            await send(message)

        await self.app(scope, receive, send_with_cookie)
        await session.save(self.store, self._ttl, self._idle, late=True)

    def _set_headers(self, headers: MutableHeaders, session: BrowserSession, outcome: Outcome) -> None:
        if session.accessed or outcome != "kept":
            headers.add_vary_header("Cookie")
        if outcome == "kept":
            return
        value = f"{session.token}{self._max_age}" if outcome == "begun" else f"null; {_FORGET}"
        headers.append("Set-Cookie", f"{self._cookie}={value}{self._attributes}")
        headers.setdefault("Cache-Control", "no-store")


def _check_seconds(parameter: str, seconds: float | None) -> None:
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 1):
        raise crudjt.InvalidParameter(parameter, f"is {seconds!r}", "seconds, at least 1, or None")


def _check_cookie(
    name: str, path: str, same_site: SameSite, domain: str | None, *, https_only: bool, partitioned: bool
) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise crudjt.InvalidParameter(
            "session_cookie", "is no name of a cookie", "letters, digits, and some punctuation"
        )
    for parameter, value in (("path", path), ("domain", domain)):
        if value is not None and not _ATTRIBUTE.fullmatch(value):
            raise crudjt.InvalidParameter(parameter, "cannot be in a cookie", "printable ASCII without ';'")
    if same_site not in get_args(SameSite):
        raise crudjt.InvalidParameter("same_site", f"is {same_site!r}", "'lax', 'strict' or 'none'")
    if https_only:
        if name.lower().startswith("__host-") and (path != "/" or domain is not None):
            raise crudjt.InvalidParameter("session_cookie", "starts with __Host-", "path='/' and no domain")
    elif same_site == "none" or partitioned or name.lower().startswith(("__host-", "__secure-")):
        raise crudjt.InvalidParameter(
            "https_only", "is False", "True with this name of the cookie, same_site or partitioned"
        )
