"""Hooks that Django lacks: the session of the current request, when its response begins, and when a login does."""

import sys
import weakref
from collections.abc import Collection
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import TYPE_CHECKING

from django.contrib import auth
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.signals import request_finished
from django.http import HttpRequest

if TYPE_CHECKING:
    from crudjt.contrib.django._requests import RequestSession

_BEGINS = SessionMiddleware.process_request.__code__

ENDS = frozenset({SessionMiddleware.process_response.__code__})
"""The code that saves it as the response begins."""

LOGINS = frozenset(getattr(auth, name).__code__ for name in ("login", "alogin") if hasattr(auth, name))
"""The code that changes the key, then sets what makes a login: the user's id first, and the password's hash last."""

_current: ContextVar["RequestSession | None"] = ContextVar("crudjt_session", default=None)


def begun_request(session: "RequestSession") -> "weakref.ref[HttpRequest] | None":
    """Note the session of the request that begins; return the request, ``None`` if no request begins.

    Call it in the constructor of the session only: Django's middleware gives it a key, but not the request.
    """
    caller = _caller()
    if caller is None or caller.f_code is not _BEGINS:
        return None
    _current.set(session)
    request = caller.f_locals.get("request")
    return weakref.ref(request) if isinstance(request, HttpRequest) else None


def note_current(session: "RequestSession", instead_of: "RequestSession") -> None:
    """Note the session that takes the place of the one with which a request has begun."""
    session.take_request(instead_of)
    _current.set(session)


def current_session() -> "RequestSession":
    """Return the session of the request that is being served.

    Raises:
        RuntimeError: no request is being served, or Django's session middleware is missing.

    """
    session = _current.get()
    if session is None:
        raise RuntimeError("no request is being served, or SessionMiddleware is not in MIDDLEWARE")
    return session


def current_request() -> HttpRequest | None:
    """Return the request that is being served, ``None`` outside of one."""
    session = _current.get()
    return None if session is None else session.request()


def _forget(**_: object) -> None:
    _current.set(None)


request_finished.connect(_forget)


def called_by(codes: Collection[CodeType]) -> bool:
    """Return whether the method that calls this was called by a certain function of Django.

    Django has no hook for the moment at which a response begins, none for the current request, and none for a login as
    a whole.
    """
    caller = _caller()
    return caller is not None and caller.f_code in codes


def _caller() -> FrameType | None:
    """Return the frame that called the method which called the function here.

    No function may hold its own frame: that is a cycle, which keeps the request until a garbage collection.
    """
    return sys._getframe(2).f_back  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - CPython documents it
