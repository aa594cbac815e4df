"""The session core on an `AsyncStore`, for the middleware of all ASGI frameworks."""

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
from crudjt.contrib._sessions.calls import UNKNOWN, Lifetime
from crudjt.contrib._sessions.clients import client_of_scope
from crudjt.contrib._sessions.cookie import Cookie, check_flag, check_seconds
from crudjt.contrib._sessions.core import save
from crudjt.contrib._sessions.hooks import Hook, Hooks
from crudjt.contrib._sessions.lifetime import idle_timeout, remaining
from crudjt.contrib._sessions.merge import packed
from crudjt.contrib._sessions.old_cookies import OldCookies
from crudjt.contrib._sessions.reserved import IDLE_TIMEOUT, LIFETIME
from crudjt.contrib._sessions.states import Held, Phase, found
from crudjt.contrib._sessions.switching import Claim, save_old

logger = logging.getLogger("crudjt.contrib")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

AnySession = TypeVar("AnySession", bound=BrowserSession)


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
        lives = cookie.max_age is None or cookie.max_age > 0
        self._logs_in_plainly = lives and not (device_bound or record_client or self.hooks or max_sessions)

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
        claim.before = packed(data)
        made.claim = claim
        return made

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

        Most requests leave nothing to store: call `session.seal_if_stored` first. Most others leave changed data, or a
        login, and nothing else: those are written here, and `core.save` hears of them only where the write met another.
        """
        known: Any
        change = None if phase is Phase.FAILED else session.plain_change()
        if change is not None:
            try:
                known = await self.store.update(change.held.token, change.data, if_version=change.held.version)
            except crudjt.VersionConflict as conflict:
                known = conflict
            else:
                if known:
                    session.note_change(change)
                    return None
            return await self._settle(session, phase, scope, known)
        login = session.plain_login() if self._logs_in_plainly and phase is Phase.BEFORE_HEADERS else None
        if login is None:
            return await self._settle(session, phase, scope)
        data, version = (login.data, login.held.version) if login.changes else (None, None)
        ttl, idle = self.cookie.max_age, self._idle_timeout
        try:
            known = await self.store.rotate(
                login.held.token, data=data, subject=session.subject, ttl=ttl, idle=idle, if_version=version
            )
        except crudjt.VersionConflict as conflict:
            known = conflict
        else:
            if known is not None:
                session.note_login(login, known)
                return self.cookie.set(known, ttl)
        return await self._settle(session, phase, scope, known)

    async def _settle(self, session: BrowserSession, phase: Phase, scope: Any, known: Any = UNKNOWN) -> str | None:
        """Do as `save`, by `core.save`, of whose first call the answer may be known."""
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
        done = await run(self.store, steps, known)
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
