"""The session middleware of ASGI applications, which Starlette and FastAPI have as it is."""

from collections.abc import Awaitable, Callable

import crudjt
from crudjt import AsyncStore
from crudjt.contrib._device_bound.settings import PATH
from crudjt.contrib._sessions.asgi_sessions import Message, Receive, Scope, Send, Sessions
from crudjt.contrib._sessions.browser import BrowserSession
from crudjt.contrib._sessions.cookie import TWO_WEEKS, Cookie, SameSite
from crudjt.contrib._sessions.current import enter, leave
from crudjt.contrib._sessions.headers import WITH_HEADERS, add_headers, is_failure
from crudjt.contrib._sessions.hooks import Hook
from crudjt.contrib._sessions.old_cookies import OldCookies
from crudjt.contrib._sessions.states import Phase

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class SessionMiddleware:
    """Gives each request and each websocket its ``session``, a `BrowserSession`."""

    def __init__(
        self,
        app: Application,
        store: crudjt.Store | AsyncStore,
        session_cookie: str = "session",
        max_age: int | None = TWO_WEEKS,
        path: str = "/",
        same_site: SameSite = "lax",
        https_only: bool = True,
        domain: str | None = None,
        partitioned: bool = False,
        *,
        idle_timeout: float | None = None,
        subject_key: str | None = "",
        max_sessions: int | None = None,
        device_bound: bool = False,
        device_bound_path: str = PATH,
        record_client: bool = False,
        renew_keys: bool = True,
        on_session_begun: Hook | None = None,
        on_session_ended: Hook | None = None,
        take_over: OldCookies | None = None,
    ) -> None:
        """Wrap an application.

        Args:
            app: the application.
            store: an open store. The caller closes it.
            session_cookie: the name of the cookie; ``"__Host-session"`` keeps other hosts of a domain from setting it.
            max_age: seconds that a session lives at most, from login, and its cookie. ``None``: no such end, and the
                cookie goes with the browser. 0 or less: no session outlives its request.
            path: of the cookie.
            same_site: of the cookie.
            https_only: whether the cookie is sent over TLS only.
            domain: of the cookie; ``None`` for this host alone.
            partitioned: of the cookie.
            idle_timeout: seconds without a request after which a session ends; ``None`` for no such end.
            subject_key: the key of the session that holds the user's id. To set it is to log in, to remove it is to log
                out. ``None``: the application assigns ``session.subject`` at login. If it is not given, that holds too,
                and the log says so at the start.
            max_sessions: how many sessions a user may have; a login ends the oldest beyond it. ``None``: any number.
            device_bound: whether a login offers the browser to bind its session to the device. Experimental.
            device_bound_path: what the two paths begin with at which browsers prove that they are on the device.
            record_client: whether sessions note the address and the user agent of their clients, for `Session.client`.
            renew_keys: whether a session of an older secret key of the store gets a new token under the newest, at the
                next request that looks at it, so that the old key can be dropped.
            on_session_begun: is called with a `SessionEvent` when a session has begun, or has a new token. It may be a
                coroutine function. If it raises, that is logged.
            on_session_ended: likewise, when a session was ended by a request. That one has expired is not noticed.

            take_over: the sessions of Starlette's signed cookie or of starsessions, whose users stay logged in.

        Raises:
            InvalidParameter: a parameter cannot be used.

        """
        self.app = app
        cookie = Cookie(
            name=session_cookie,
            max_age=max_age,
            path=path,
            same_site=same_site,
            https_only=https_only,
            domain=domain,
            partitioned=partitioned,
        )
        self._sessions = Sessions(
            store,
            cookie,
            idle_timeout=idle_timeout,
            subject_key=subject_key,
            max_sessions=max_sessions,
            device_bound=device_bound,
            device_bound_path=device_bound_path,
            record_client=record_client,
            renew_keys=renew_keys,
            on_session_begun=on_session_begun,
            on_session_ended=on_session_ended,
            take_over=take_over,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: C901 - one call is quicker
        """Serve a request."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        sessions = self._sessions
        device = sessions.device
        if device.offers and device.answers(scope):
            await device.answer(sessions.store, scope, send)
            return
        token = sessions.cookie.value(scope["headers"])
        if token:  # as `load` does, with one coroutine less
            read = await sessions.store.read(token)
            if read is None and sessions.take_over is not None:
                session = await sessions.take_over.session(token, sessions, BrowserSession)
            else:
                session = sessions.opened(token, read, BrowserSession)
        else:
            session = sessions.empty(BrowserSession)
        held = session.held
        if held is not None and held.device is not None and not device.serves(scope, held):
            admitted = await sessions.admitted(session, scope, receive, send)
            if admitted is None:
                return
            session = admitted
            held = session.held
        scope["session"] = session
        failed = False

        async def send_with_cookie(message: Message) -> None:
            nonlocal failed
            if message["type"] in WITH_HEADERS:
                failed = is_failure(message)
                cookie = None
                if not session.seal_if_stored():
                    phase = Phase.FAILED if failed else Phase.BEFORE_HEADERS
                    cookie = await sessions.save(session, phase, scope)
                if cookie or session.accessed:
                    add_headers(message, cookie)
                if cookie:
                    message["headers"] += await device.headers(sessions.store, scope, held, session.held)
                    sessions.warn_if_insecure(scope.get("scheme"))
            await send(message)

        entered = enter(sessions.store, session, hooks=sessions.hooks, scope=scope)
        try:
            await self.app(scope, receive, send_with_cookie)
        except BaseException as error:
            await sessions.end(session, error, scope)
            raise
        else:
            if not session.is_stored:
                await sessions.save(session, Phase.FAILED if failed else Phase.AFTER_HEADERS, scope)
        finally:
            leave(entered)
