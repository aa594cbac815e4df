"""Hooks that Django lacks: the session of the current request, and the moment at which its response begins."""

import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING

from django.contrib.sessions.middleware import SessionMiddleware
from django.core.signals import request_finished

if TYPE_CHECKING:
    from crudjt.contrib.django._backend import SessionStore

BEGINS = SessionMiddleware.process_request.__code__
"""The code that opens the session of a request."""

ENDS = SessionMiddleware.process_response.__code__
"""The code that saves it as the response begins."""

_current: ContextVar["SessionStore | None"] = ContextVar("crudjt_session", default=None)


def note_current(session: "SessionStore") -> None:
    """Note the session of the request that begins."""
    _current.set(session)


def current_session() -> "SessionStore":
    """Return the session of the request that is being served.

    Raises:
        RuntimeError: no request is being served, or Django's session middleware is missing.

    """
    session = _current.get()
    if session is None:
        raise RuntimeError("no request is being served, or SessionMiddleware is not in MIDDLEWARE")
    return session


def _forget(**_: object) -> None:
    _current.set(None)


request_finished.connect(_forget)


def called_by(code: object) -> bool:
    """Return whether the method that calls this was called by a method of Django's session middleware.

    Django has no hook for the moment at which a response begins, and none for the current request.
    """
    frame = inspect.currentframe()
    caller = frame.f_back.f_back if frame is not None and frame.f_back is not None else None
    return caller is not None and caller.f_code is code
