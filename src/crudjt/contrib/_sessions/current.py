"""The request that an ASGI application serves: the sessions of its user, and whether its own is still alive."""

from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any, NamedTuple

import crudjt
from crudjt import AsyncStore
from crudjt._core.validation import is_handle
from crudjt.contrib._sessions.browser import BrowserSession
from crudjt.contrib._sessions.devices import Device, devices
from crudjt.contrib._sessions.hooks import Hooks
from crudjt.contrib._sessions.reserved import listed


class _Request(NamedTuple):
    """The request that the current context serves."""

    store: AsyncStore
    session: BrowserSession | None
    bearer: str | None
    hooks: Hooks | None
    scope: Any


_Noted = tuple[AsyncStore, BrowserSession | None, str | None, Hooks | None, Any]

_request: ContextVar[_Noted] = ContextVar("crudjt_request")


def enter(
    store: AsyncStore,
    session: BrowserSession | None = None,
    bearer: str | None = None,
    hooks: Hooks | None = None,
    scope: Any = None,
) -> Token[_Noted]:
    """Note what the current request works with, for the functions below: the session of a cookie, or a bearer token."""
    return _request.set((store, session, bearer, hooks, scope))


def enter_bearer(store: AsyncStore, bearer: str | None) -> None:
    """Note that the rest of the current request works with a bearer token, or with none that is alive."""
    *_, hooks, scope = _request.get((store, None, None, None, None))
    _request.set((store, None, bearer, hooks, scope))


def leave(token: Token[_Noted]) -> None:
    """Forget what `enter` noted."""
    _request.reset(token)


def _current() -> _Request:
    try:
        return _Request(*_request.get())
    except LookupError:
        raise RuntimeError(
            "no request with a session is being served: add the SessionMiddleware, or call the store itself"
        ) from None


async def sessions_of(user: object) -> list[crudjt.Session]:
    """Return the live sessions of a user's id: handles and data, never tokens.

    Raises:
        RuntimeError: no request is being served. Elsewhere, call ``store.sessions(str(user))``.

    """
    return [listed(session) async for session in _current().store.sessions(str(user))]


async def devices_of(user: object) -> list[Device]:
    """Return the sessions of a user's id for the page "your sessions": that of the request first, then the last used.

    Raises:
        RuntimeError: no request is being served.

    """
    request = _current()
    held = None if request.session is None else request.session.held
    if held is not None and held.id is not None:
        return devices(await sessions_of(user), held.id)
    token = request.bearer if held is None else held.token
    read = None if token is None else await request.store.peek(token)
    return devices(await sessions_of(user), None if read is None else read.id)


async def end_session(user: object, handle: str) -> bool:
    """End one session of a user's id by its handle; return whether the user had it. Sessions of other users stay."""
    request = _current()
    ended = is_handle(handle) and await request.store.revoke_id(handle, subject=str(user))
    if ended and request.hooks:
        await request.hooks.end(request.scope, handle, str(user), "ended")
    return ended


async def revoke_user(user: object, keep_current: bool = False) -> int:
    """Log a user out everywhere; return how many sessions have ended. It holds in every process from the next request.

    Args:
        user: the user's id.
        keep_current: whether the session of the current request stays.

    """
    request = _current()
    held = None if request.session is None else request.session.held
    token = request.bearer if held is None else held.token
    keep = token if keep_current else None
    if not request.hooks:
        return await request.store.revoke(str(user), keep=keep)
    kept = None if keep is None else await request.store.peek(keep)
    handles = [session.id async for session in request.store.sessions(str(user))]
    count = await request.store.revoke(str(user), keep=keep)
    for handle in handles:
        if kept is None or handle != kept.id:
            await request.hooks.end(request.scope, handle, str(user), "revoked")
    return count


async def still_alive(*, touch: bool = True) -> bool:
    """Read the session of the current request again, and return whether it is alive. For websockets and long streams.

    It restarts the idle timeout, and takes over what other requests have stored since; what this one has changed stays.
    A login in the same browser ends it too, since that gets a new token.

    Args:
        touch: whether the idle timeout starts again. ``False`` only looks.

    Raises:
        RuntimeError: no request with a session is being served.

    """
    request = _current()
    session = request.session
    if session is None:
        raise RuntimeError("the request has no session of a cookie: add the SessionMiddleware to the application")
    held = session.held
    if held is None or session.ends:
        return False
    read = await (request.store.read(held.token) if touch else request.store.peek(held.token))
    if read is None:
        return False
    session.take_over(read)
    return True


def session_in(scope: Mapping[str, Any]) -> BrowserSession:
    """Return the session of a request by its scope.

    Raises:
        RuntimeError: the middleware is missing.

    """
    session = scope.get("session")
    if not isinstance(session, BrowserSession):
        raise RuntimeError(  # noqa: TRY004 - the application is set up wrong
            "the request has no session of crudjt: add its SessionMiddleware to the application"
        )
    session.accessed = True
    return session
