"""The sessions that an application of Flask had before: read and ended by their own interface."""

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin

import crudjt
from crudjt.contrib._sessions.switching import Claim, Window, checked_keys, checked_until, signed_part
from crudjt.contrib._settings import TAKE_OVER

logger = logging.getLogger("crudjt.contrib")

EXTENSION = "crudjt.switch"
"""The name of the old interface among the extensions of an application."""


class Old:
    """A live session of the old interface."""

    def __init__(self, app: Flask, interface: SessionInterface, session: SessionMixin, claim: Claim) -> None:
        """Take the session, and the claim to its cookie."""
        self._app = app
        self._interface = interface
        self._session = session
        self.claim = claim
        self.data: dict[str, Any] = dict(session)

    def end(self) -> None:
        """Delete it where it is stored, as a logout does; where that fails, it is of no use all the same."""
        try:
            self._session.clear()
            self._interface.save_session(self._app, self._session, Response())
        except Exception:  # whatever that interface raises
            logger.exception("an old session was taken over, but could not be deleted")


class Switch:
    """The interface of before, and until when its sessions are taken over."""

    def __init__(self, interface: SessionInterface, window: Window) -> None:
        """Take what an application had."""
        self._interface = interface
        self._window = window

    def old(self, app: Flask, request: Request, value: str, store: crudjt.Store) -> Old | None:
        """Return the old session that the value of a cookie names, ``None`` if it names none, or was taken over."""
        if not self._window.admits(value):
            return None
        session = self._interface.open_session(app, request)
        if not session:
            return None
        claim = Claim(signed_part(value), app.permanent_session_lifetime.total_seconds())
        return None if claim.is_taken(store) else Old(app, self._interface, session, claim)


def checked_switch(setting: Callable[[str], Any], interface: SessionInterface) -> Switch | None:
    """Return what the settings say of an application's old interface, ``None`` if nothing is to be taken over.

    Raises:
        InvalidParameter: they are not usable.

    """
    value = setting(TAKE_OVER)
    if value is None:
        return None
    if type(interface).__module__.startswith("crudjt."):
        raise crudjt.InvalidParameter(TAKE_OVER, f"{TAKE_OVER}: the application has no other sessions to take over")
    until = checked_until(TAKE_OVER, checked_keys(TAKE_OVER, value, "until")["until"])
    return Switch(interface, Window(until))
