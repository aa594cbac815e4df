"""The session core on an `AsyncStore`, and the parts that all ASGI adapters share."""

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, TypeVar

import crudjt
from crudjt import AsyncStore
from crudjt._core.event_loops import finish
from crudjt._core.session import is_of_older_key
from crudjt._core.validation import KEEP, session_limit
from crudjt.aio import wrap
from crudjt.contrib._device_bound.asgi import DeviceGate
from crudjt.contrib._device_bound.decisions import Verdict
from crudjt.contrib._device_bound.settings import PATH
from crudjt.contrib._sessions.asynchronous import run
from crudjt.contrib._sessions.browser import BrowserSession
from crudjt.contrib._sessions.calls import Lifetime
from crudjt.contrib._sessions.clients import client_of_scope
from crudjt.contrib._sessions.cookie import Cookie, SameSite, check_flag, check_seconds
from crudjt.contrib._sessions.core import save
from crudjt.contrib._sessions.current import enter, leave
from crudjt.contrib._sessions.headers import WITH_HEADERS, add_headers, phase_of
from crudjt.contrib._sessions.hooks import Hook, Hooks
from crudjt.contrib._sessions.lifetime import idle_timeout, remaining
from crudjt.contrib._sessions.old_cookies import OldCookies
from crudjt.contrib._sessions.reserved import IDLE_TIMEOUT, LIFETIME
from crudjt.contrib._sessions.states import Held, Phase, found
from crudjt.contrib._sessions.switching import Claim, save_old, signed_part

logger = logging.getLogger("crudjt.contrib")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

AnySession = TypeVar("AnySession", bound=BrowserSession)

TWO_WEEKS = 14 * 24 * 60 * 60


class Sessions:
    """The sessions of an application: a store, a cookie and limits."""

    def __init__(
        self,
        store: crudjt.Store | AsyncStore,
        cookie: Cookie,
        *,
        idle_timeout: float | None,
        subject_key: str | None,
        max_sessions: int | None,
        device_bound: bool = False,
        device_bound_path: str = PATH,
        record_client: bool = False,
        renew_keys: bool = True,
        on_session_begun: Hook | None = None,
        on_session_ended: Hook | None = None,
        take_over: OldCookies | None = None,
    ) -> None:
        """Take the parameters of `SessionMiddleware`, which explains them.

        Raises:
            InvalidParameter: a parameter cannot be used.

        """
        if not isinstance(store, crudjt.Store | AsyncStore):
            raise crudjt.InvalidType("store", f"store must be a Store or an AsyncStore, not {type(store).__name__}")
        check_seconds("idle_timeout", idle_timeout, 1)
        check_flag("record_client", record_client)
        check_flag("renew_keys", renew_keys)
        key: object = subject_key
        if not isinstance(key, str | None):
            raise crudjt.InvalidType("subject_key", f"subject_key must be a str or None, not {type(key).__name__}")
        if max_sessions is not None:
            session_limit(max_sessions, "end_oldest", "")
        self.store: AsyncStore = wrap(store)
        self.cookie = cookie
        self.device: DeviceGate = DeviceGate(cookie.device_bound(device_bound, device_bound_path), cookie)
        if subject_key == "":
            logger.warning(
                "no subject_key is given: a session gets a new token at login only if the application assigns "
                "session.subject. Pass the key of the user's id, or subject_key=None if it does"
            )
        self._subject_key = subject_key or None
        self._max_sessions = max_sessions
        self._idle_timeout = idle_timeout
        self._record_client = record_client
        self._renew_keys = renew_keys
        self.hooks: Hooks = Hooks(on_session_begun, on_session_ended)
        if not isinstance(take_over, OldCookies | None):
            raise crudjt.InvalidType(
                "take_over",
                f"take_over must be a TakeOver, a TakeOverStarsessions or None, not {type(take_over).__name__}",
            )
        self.take_over = take_over
        self._kept = Lifetime()
        self._warned = not cookie.https_only

    async def load(self, token: str | None, kind: type[AnySession]) -> AnySession:
        """Return the session of the value of a cookie, an empty one if it names none that is alive."""
        return self.opened(token, await self.store.read(token), kind) if token else self.empty(kind)

    def empty(self, kind: type[AnySession]) -> AnySession:
        """Return a session that is not stored yet."""
        return kind(None, None, self._subject_key)

    def opened(self, token: str, session: crudjt.Session | None, kind: type[AnySession]) -> AnySession:
        """Return the session of a token that was read, an empty one if it names none."""
        held = found(token, session)
        data = session.data if held is not None and session is not None else None
        made = kind(data, held, self._subject_key)
        if session is not None and is_of_older_key(session) and self._renew_keys:
            made.renew()
        return made

    def old(self, data: dict[str, Any], claim: Claim, kind: type[AnySession]) -> AnySession:
        """Return an old session, which goes on in the store if it is saved."""
        made = kind(data, None, self._subject_key)
        made.claim = claim
        return made

    async def taken_over(self, value: str, cookies: OldCookies, kind: type[AnySession]) -> AnySession:
        """Return the old session of the value of a cookie, an empty one if it names none, or was taken over."""
        data = await cookies.data(value)
        claim = Claim(signed_part(value), cookies.max_age)
        if not data or await claim.is_taken_in(self.store):
            return self.empty(kind)
        old = self.old(data, claim, kind)
        old.end_old = partial(cookies.end, value)
        return old

    async def admitted(self, session: AnySession, scope: Scope, receive: Receive, send: Send) -> AnySession | None:
        """Return the session that a request gets, by the proof of its device; ``None`` if the request was answered."""
        held = session.held
        if held is None or held.device is None:
            return session
        verdict = await self.device.verdict(self.store, scope, receive, send, held)
        if verdict is Verdict.EMPTY:
            session = self.empty(type(session))
        return None if verdict is None else session

    async def save(self, session: BrowserSession, phase: Phase, scope: Any) -> str | None:
        """Store what was changed; return the cookie to set, ``None`` for no change.

        Most requests leave nothing to store: call `session.seal_if_stored` first.
        """
        chosen = session.chosen
        found = session.held
        left = session.left(
            partial(self._lifetime, chosen),
            phase,
            max_sessions=self._max_sessions,
            binds=self.device.offers,
            client=client_of_scope(scope) if self._record_client else None,
            renews=scope["type"] == "http",  # a websocket goes on with the session as of its opening
        )
        steps = save(found, left) if session.claim is None else save_old(session.claim, left)
        done = await run(self.store, steps)
        if session.end_old is not None and done.cookie != "keep":
            await session.end_old()
        session.take(done)
        if self.hooks:
            session.identify(await self.hooks.saved(self.store, scope, found, left, done))
        held = done.held
        if done.cookie == "forget" or held is None:
            return self.cookie.forget() if done.cookie == "forget" else None
        if done.cookie == "keep" and (LIFETIME not in chosen or done.lost or phase is not Phase.BEFORE_HEADERS):
            return None
        own = session.hidden(LIFETIME)
        lifetime = self.cookie.max_age if own is None else own or None
        return self.cookie.set(held.token, lifetime if held.read is None else remaining(lifetime, held))

    async def end(self, session: BrowserSession, error: BaseException, scope: Any) -> None:
        """Carry out the logout of a request that failed, if there was one, even if the request is cancelled.

        A websocket whose client has left, which Starlette and Litestar raise in the handler, has not failed.
        """
        if type(error).__name__ == "WebSocketDisconnect":
            await self.save(session, Phase.AFTER_HEADERS, scope)
            return
        if session.ends and (session.held is not None or session.claim is not None):
            await finish(self.save(session, Phase.FAILED, scope))

    def warn_if_insecure(self, scheme: str | None) -> None:
        """Warn once that a cookie for TLS is sent over plain HTTP, so that few clients send it back."""
        if not self._warned and scheme in {"http", "ws"}:
            self._warned = True
            logger.warning(
                "the session cookie is Secure, but the request came over plain HTTP: browsers and curl send it back, "
                "but to localhost only. In tests use base_url='https://…'; behind a proxy pass on X-Forwarded-Proto"
            )

    def _lifetime(self, chosen: frozenset[str], data: Mapping[Any, Any], held: Held | None) -> Lifetime:
        """Return all limits of a session that begins, and for another one those that this request has chosen."""
        if held is not None and not chosen:
            return self._kept
        ttl = data.get(LIFETIME) or self.cookie.max_age
        idle = idle_timeout(data, self._idle_timeout)
        if held is None:
            return Lifetime(ttl, idle)
        return Lifetime(remaining(ttl, held) if LIFETIME in chosen else KEEP, idle if IDLE_TIMEOUT in chosen else KEEP)


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
                session = await sessions.taken_over(token, sessions.take_over, BrowserSession)
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
                phase = phase_of(message)
                failed = phase is Phase.FAILED
                cookie = None if session.seal_if_stored() else await sessions.save(session, phase, scope)
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
