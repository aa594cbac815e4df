"""Signals for sessions that begin and end; receivers are called after it is stored, and one that raises is logged.

Each is sent with ``request`` (``None`` outside of one), ``session_id`` (the handle, which is no key), ``subject`` (the
user's id, ``None`` for none) and ``why``.
"""

from collections.abc import Callable

from django.dispatch import Signal
from django.http import HttpRequest

from crudjt.contrib._sessions.hooks import Tell, Why

session_begun: Signal = Signal()
"""A session has begun (``why="created"``), or has a new key after a ``"login"`` or a ``"rotation"`` (`cycle_key`)."""

session_ended: Signal = Signal()
"""A session was ended: with a ``"logout"``, in favour of the new key of a ``"login"`` or a ``"rotation"``, by `delete`
or `end_session` (``"ended"``), or by `revoke_user` (``"revoked"``). That one has expired is not noticed.
"""


def teller(signal: Signal, sender: type, request: Callable[[], HttpRequest | None]) -> Tell | None:
    """Return a function that sends a signal; ``None`` if it has no receivers."""
    if not signal.receivers:
        return None

    def tell(session_id: str, subject: str | None, why: Why) -> None:
        signal.send_robust(sender, request=request(), session_id=session_id, subject=subject, why=why)

    return tell
