"""Hooks: functions of the application that are called when the session of a browser begins or ends."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from inspect import isawaitable
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

import crudjt
from crudjt import AsyncStore
from crudjt.contrib._sessions.states import Done, Held, Left

logger = logging.getLogger("crudjt.contrib")

Why = Literal["created", "login", "rotation", "logout", "ended", "revoked"]
"""Why a session begins: it was ``"created"``, or has a new token after a ``"login"`` or a ``"rotation"``.

Why it ends: with a ``"logout"``, in favour of that new token, by `end_session` (``"ended"``), or by `revoke_user`
(``"revoked"``).
"""


class SessionEvent(msgspec.Struct, frozen=True):
    """The beginning or the end of a session.

    Attributes:
        scope: the ASGI scope of the request, for ``Request(event.scope)``.
        id: the handle of the session, as `Session.id`; no token.
        subject: its user's id; ``None`` for none.
        why: the cause.

    """

    scope: MutableMapping[str, Any]
    id: str
    subject: str | None
    why: Why

    def __repr__(self) -> str:
        """Name the session, without its user and the request."""
        return f"<SessionEvent {self.id} {self.why}>"


Hook = Callable[[SessionEvent], Awaitable[None] | None]
Tell = Callable[[str, str | None, Why], None]


class Change(NamedTuple):
    """A session that has begun or ended; the handle is ``None`` if it is to be looked up."""

    id: str | None
    subject: str | None
    why: Why


def ended(found: Held | None, left: Left, done: Done) -> Change | None:
    """Return the end of the session that a request found, if the request has ended it."""
    if found is None or done.gone or (done.held is not None and done.held.token == found.token):
        return None
    return Change(found.id, found.subject, "logout" if left.ends else _cause(left) or "logout")


def begun(found: Held | None, left: Left, done: Done) -> Change | None:
    """Return the beginning of the session that a request leaves, if it has begun one or given it a new token."""
    held = done.held
    if held is None or (found is not None and held.token == found.token):
        return None
    return Change(held.id, held.subject, _cause(left) or "created")


def _cause(left: Left) -> Literal["login", "rotation"] | None:
    if left.login:
        return "login"
    return "rotation" if left.rotates and not left.ends else None


def tell(
    store: crudjt.Store, found: Held | None, left: Left, done: Done, tell_begun: Tell | None, tell_ended: Tell | None
) -> Done:
    """Tell what a request has stored, in a framework that blocks; return it with the handle of a new session."""
    end, begin = ended(found, left, done), begun(found, left, done)
    if tell_ended is not None and end is not None and end.id is not None:
        tell_ended(end.id, end.subject, end.why)
    read = None if begin is None or done.held is None else store.peek(done.held.token)
    if begin is None or done.held is None or read is None:
        return done
    if tell_begun is not None:
        tell_begun(read.id, begin.subject, begin.why)
    return replace(done, held=replace(done.held, id=read.id))


class Hooks:
    """The hooks of an ASGI application; false if there are none. One that raises is logged, and changes nothing."""

    def __init__(self, begun: Hook | None, ended: Hook | None) -> None:
        """Take functions or coroutine functions.

        Raises:
            InvalidType: one cannot be called.

        """
        for name, hook in (("on_session_begun", begun), ("on_session_ended", ended)):
            if hook is not None and not callable(hook):
                raise crudjt.InvalidType(name, f"{name} must be a function or None, not {type(hook).__name__}")
        self._begun, self._ended = begun, ended

    def __bool__(self) -> bool:
        """Return whether there is a hook."""
        return self._begun is not None or self._ended is not None

    async def saved(self, store: AsyncStore, scope: Any, found: Held | None, left: Left, done: Done) -> Done:
        """Call the hooks for what a request has stored; return it with the handle of a session that has begun."""
        end, begin = ended(found, left, done), begun(found, left, done)
        if end is not None and end.id is not None:
            await self.end(scope, end.id, end.subject, end.why)
        if begin is None or done.held is None:
            return done
        read = await store.peek(done.held.token)
        if read is None:
            return done
        await _call(self._begun, SessionEvent(scope, read.id, begin.subject, begin.why))
        return replace(done, held=replace(done.held, id=read.id))

    async def end(self, scope: Any, handle: str, subject: str | None, why: Why) -> None:
        """Call the hook for a session that has ended."""
        await _call(self._ended, SessionEvent(scope, handle, subject, why))


async def _call(hook: Hook | None, event: SessionEvent) -> None:
    if hook is None:
        return
    try:
        result = hook(event)
        if isawaitable(result):
            await result
    except Exception:  # whatever the application raises
        logger.exception("a hook for sessions failed; the session is stored all the same")
