"""The signals of Flask for sessions that begin and end."""

import logging
from typing import Any

from blinker import Namespace, Signal
from flask import Flask, current_app

from crudjt.contrib._sessions.hooks import Why

logger = logging.getLogger("crudjt.contrib")

_signals = Namespace()

session_begun: Signal = _signals.signal("session-begun")
"""Is sent when a session has begun, or has a new token, with ``session_id``, ``subject`` and ``why``."""

session_ended: Signal = _signals.signal("session-ended")
"""Is sent when a session was ended by a request, likewise. That one has expired is not noticed."""


def are_heard() -> bool:
    """Return whether there are receivers."""
    return bool(session_begun.receivers or session_ended.receivers)


def tell_begun(session_id: str, subject: str | None, why: Why) -> None:
    """Send `session_begun`."""
    _send(session_begun, _application(), session_id, subject, why)


def tell_ended(session_id: str, subject: str | None, why: Why) -> None:
    """Send `session_ended`."""
    _send(session_ended, _application(), session_id, subject, why)


def _application() -> Flask:
    proxy: Any = current_app
    app: Flask = proxy._get_current_object()  # noqa: SLF001 - Flask documents it
    return app


def _send(signal: Signal, app: Flask, session_id: str, subject: str | None, why: Why) -> None:
    """Call the receivers. One that raises is logged: the session is stored already."""
    for receiver in signal.receivers_for(app):
        call: Any = receiver
        try:
            call(app, session_id=session_id, subject=subject, why=why)
        except Exception:  # whatever a receiver raises
            logger.exception("a receiver of a signal for sessions failed; the session is stored all the same")
