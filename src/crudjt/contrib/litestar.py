"""Sessions of Litestar, below Litestar's own session middleware, so that what builds on that works too.

```python
from litestar import Litestar
from litestar.middleware import DefineMiddleware

import crudjt.aio
from crudjt.contrib.litestar import SessionMiddleware

store = crudjt.aio.open("sessions")  # the key is in CRUDJT_SECRET_KEY
app = Litestar(middleware=[DefineMiddleware(SessionMiddleware, store=store, subject_key="user_id")])
```

The cookie holds the token, the data stays in the store. Litestar's own server-side sessions take any identifier that a
cookie brings; here the store mints each token, and no other is adopted.
"""

from crudjt._core.extras import require_extra

require_extra("litestar")

from dataclasses import dataclass, field
from typing import Any, Literal

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import DefineMiddleware
from litestar.middleware.session import base
from litestar.types import ASGIApp, Message, Receive, Scope, Scopes, Send

import crudjt
from crudjt import AsyncStore
from crudjt.contrib._device_bound.litestar import DeviceBoundPaths
from crudjt.contrib._device_bound.settings import PATH
from crudjt.contrib._sessions.asgi_sessions import Sessions
from crudjt.contrib._sessions.browser import BrowserSession
from crudjt.contrib._sessions.cookie import TWO_WEEKS, Cookie, SameSite
from crudjt.contrib._sessions.current import (
    devices_of,
    end_session,
    enter,
    leave,
    revoke_user,
    session_in,
    sessions_of,
    still_alive,
)
from crudjt.contrib._sessions.devices import Device
from crudjt.contrib._sessions.headers import WITH_HEADERS, phase_of
from crudjt.contrib._sessions.hooks import Hook, SessionEvent
from crudjt.contrib._sessions.litestar_backend import SessionBackend
from crudjt.contrib._sessions.litestar_scope import LOADED, take_over
from crudjt.contrib._sessions.litestar_switching import TakeOver
from crudjt.contrib._sessions.states import Phase

__all__ = [
    "BrowserSession",
    "Device",
    "DeviceBoundPaths",
    "SessionBackend",
    "SessionConfig",
    "SessionEvent",
    "SessionMiddleware",
    "TakeOver",
    "devices_of",
    "end_session",
    "revoke_user",
    "session_of",
    "sessions_of",
    "still_alive",
]

Connection = ASGIConnection[Any, Any, Any, Any]


def session_of(connection: Connection) -> BrowserSession:
    """Return the session of a request or a websocket: ``request.session``, by its own type.

    Raises:
        RuntimeError: the middleware is missing.

    """
    take_over(connection.scope)
    return session_in(connection.scope)


@dataclass
class SessionConfig(base.BaseBackendConfig[SessionBackend]):
    """For what takes a configuration of session middleware: `SessionAuth`, and Litestar's test client.

    The fields are the parameters of `SessionMiddleware`, under the names that Litestar gives them.
    """

    _backend_class = SessionBackend

    store: crudjt.Store | AsyncStore
    key: str = "session"
    max_age: int | None = TWO_WEEKS  # type: ignore[assignment] # pyright: ignore[reportIncompatibleVariableOverride] # None is no number there
    idle_timeout: float | None = None
    path: str = "/"
    samesite: Literal["lax", "strict", "none"] = "lax"
    secure: bool = True
    httponly: bool = field(default=True, init=False)
    domain: str | None = None
    partitioned: bool = False
    subject_key: str | None = ""
    max_sessions: int | None = None
    record_client: bool = False
    renew_keys: bool = True
    device_bound: bool = False
    device_bound_path: str = PATH
    on_session_begun: Hook | None = None
    on_session_ended: Hook | None = None
    take_over: TakeOver | None = None
    scopes: Scopes = field(default_factory=lambda: {ScopeType.HTTP, ScopeType.WEBSOCKET})
    exclude: str | list[str] | None = None
    exclude_opt_key: str = "skip_session"

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            InvalidParameter: one cannot be used.

        """
        cookie = Cookie(
            name=self.key,
            max_age=self.max_age,
            path=self.path,
            same_site=self.samesite,
            https_only=self.secure,
            domain=self.domain,
            partitioned=self.partitioned,
        )
        self.sessions: Sessions = Sessions(
            self.store,
            cookie,
            idle_timeout=self.idle_timeout,
            subject_key=self.subject_key,
            max_sessions=self.max_sessions,
            record_client=self.record_client,
            renew_keys=self.renew_keys,
            device_bound=self.device_bound,
            device_bound_path=self.device_bound_path,
            on_session_begun=self.on_session_begun,
            on_session_ended=self.on_session_ended,
        )
        given: object = self.take_over
        if not isinstance(given, TakeOver | None):
            kind = type(given)
            raise crudjt.InvalidType(
                "take_over",
                "take_over must be a TakeOver of crudjt.contrib.litestar or None, "
                f"not {kind.__module__}.{kind.__qualname__}",
            )
        if given is not None:
            given.require_cookie(self.key)

    @property
    def middleware(self) -> DefineMiddleware:
        """The middleware, for a list of them."""
        return DefineMiddleware(SessionMiddleware, backend=SessionBackend(self))


class SessionMiddleware(base.SessionMiddleware[SessionBackend]):
    """Gives each request and each websocket its `request.session`, a `BrowserSession`.

    ``request.set_session(…)`` puts other data into it, ``request.clear_session()`` ends it.
    """

    def __init__(
        self,
        app: ASGIApp,
        store: crudjt.Store | AsyncStore | None = None,
        *,
        backend: SessionBackend | None = None,
        session_cookie: str = "session",
        max_age: int | None = TWO_WEEKS,
        idle_timeout: float | None = None,
        path: str = "/",
        same_site: SameSite = "lax",
        https_only: bool = True,
        domain: str | None = None,
        partitioned: bool = False,
        subject_key: str | None = "",
        max_sessions: int | None = None,
        record_client: bool = False,
        renew_keys: bool = True,
        device_bound: bool = False,
        device_bound_path: str = PATH,
        on_session_begun: Hook | None = None,
        on_session_ended: Hook | None = None,
        take_over: TakeOver | None = None,
        exclude: str | list[str] | None = None,
        exclude_opt_key: str = "skip_session",
    ) -> None:
        """Wrap an application.

        Args:
            app: the application.
            store: an open store. The caller closes it.
            backend: in place of all other parameters.
            session_cookie: as in `crudjt.contrib.starlette.SessionMiddleware`, like those that follow.
            max_age: as there.
            idle_timeout: as there.
            path: as there.
            same_site: as there.
            https_only: as there.
            domain: as there.
            partitioned: as there.
            subject_key: as there.
            max_sessions: as there.
            record_client: as there.
            renew_keys: as there.
            device_bound: as there. It needs the plugin `DeviceBoundPaths` too.
            device_bound_path: as there.
            on_session_begun: as there.
            on_session_ended: as there.
            take_over: Litestar's own server-side sessions, whose users stay logged in.
            exclude: patterns of paths without sessions.
            exclude_opt_key: the option of a handler that has no session.

        Raises:
            InvalidParameter: a parameter cannot be used.

        """
        if backend is None:
            backend = SessionBackend(
                SessionConfig(
                    store,  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # None is refused there
                    key=session_cookie,
                    max_age=max_age,
                    idle_timeout=idle_timeout,
                    path=path,
                    samesite=same_site,
                    secure=https_only,
                    domain=domain,
                    partitioned=partitioned,
                    subject_key=subject_key,
                    max_sessions=max_sessions,
                    record_client=record_client,
                    renew_keys=renew_keys,
                    device_bound=device_bound,
                    device_bound_path=device_bound_path,
                    on_session_begun=on_session_begun,
                    on_session_ended=on_session_ended,
                    take_over=take_over,
                    exclude=exclude,
                    exclude_opt_key=exclude_opt_key,
                )
            )
        super().__init__(app, backend)
        self._has_paths = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        sessions = self.backend.config.sessions
        values: Any = scope
        if sessions.device.offers:
            self._require_paths(scope)
            if sessions.device.answers(values):
                await sessions.device.answer(sessions.store, values, send)
                return
        connection: Connection = ASGIConnection(scope, receive, send)
        loaded = await self.backend.load_from_connection(connection)
        wrapped: Any = receive, send  # whose types Litestar narrows
        session = await sessions.admitted(loaded, values, *wrapped)
        if session is None:
            return
        scope["session"] = session
        scope["state"][LOADED] = session
        connection._connection_state.session_id = session.id  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - as Litestar's own middleware
        failed = False

        async def send_with_cookie(message: Message) -> None:
            nonlocal failed
            if message["type"] in WITH_HEADERS:
                take_over(scope)
                failed = phase_of(message) is Phase.FAILED
                await self.backend.store_in_message(session, message, connection)
            await send(message)

        token = enter(sessions.store, session, hooks=sessions.hooks, scope=scope)
        try:
            await self.app(scope, receive, send_with_cookie)
        except BaseException as error:
            take_over(scope)
            await sessions.end(session, error, scope)
            raise
        else:
            take_over(scope)
            if not session.is_stored:
                await sessions.save(session, Phase.FAILED if failed else Phase.AFTER_HEADERS, scope)
        finally:
            leave(token)

    def _require_paths(self, scope: Scope) -> None:
        if not self._has_paths:
            self._has_paths = self.backend.config.sessions.device.is_routed(
                {route.path for route in scope["litestar_app"].routes}
            )
