"""The session engine that Django had before: its sessions are read by its own code, and taken over."""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import SessionBase
from django.core.signals import setting_changed
from django.utils import timezone

import crudjt
from crudjt.contrib._sessions import switching
from crudjt.contrib._sessions.reserved import split
from crudjt.contrib._sessions.switching import Claim, Outcome, Window, checked_keys, checked_until
from crudjt.contrib._settings import TAKE_OVER
from crudjt.contrib.django._store import get_store, setting

logger = logging.getLogger("crudjt.contrib")


class Switch(NamedTuple):
    """The value of ``CRUDJT_TAKE_OVER``."""

    engine: type[SessionBase]
    window: Window


class Old:
    """A live session of the old engine.

    Attributes:
        data: its data.
        left: the seconds until it ends; ``None`` where its engine does not tell them.

    """

    def __init__(self, session: SessionBase, key: str, data: dict[str, Any]) -> None:
        """Take the session, its key and its data. All that its engine has to be asked is asked here: it may fail."""
        self._session: Any = session
        self._key = key
        self.data = data
        self.left: float | None = self._time_left() if isinstance(session, db.SessionStore) else None

    def _time_left(self) -> float | None:
        model = self._session.model
        end: datetime | None = model.objects.filter(session_key=self._key).values_list("expire_date", flat=True).first()
        return None if end is None else max((end - timezone.now()).total_seconds(), 1)

    def end(self) -> None:
        """Delete it in its engine; where that fails, it is of no use all the same."""
        try:
            self._session.delete(self._key)
        except Exception:  # whatever that engine raises
            logger.exception("an old session was taken over, but could not be deleted")


def checked_switch(setting: Callable[[str], Any]) -> Switch | None:
    """Return what the settings say of the old engine, ``None`` if there is none.

    Raises:
        InvalidParameter: they are not usable.

    """
    value = setting(TAKE_OVER)
    if value is None:
        return None
    named = checked_keys(TAKE_OVER, value, "engine", "until")
    until = checked_until(TAKE_OVER, named["until"])
    try:
        engine = import_module(named["engine"]).SessionStore
    except (ImportError, AttributeError, TypeError, ValueError):
        engine = None
    if engine is None or engine.__module__.startswith("crudjt."):
        raise crudjt.InvalidParameter(
            TAKE_OVER,
            f"{TAKE_OVER}: 'engine' must be the SESSION_ENGINE of before, as 'django.contrib.sessions.backends.db'",
        )
    return Switch(engine, Window(until))


@cache
def _switch() -> Switch | None:
    return checked_switch(setting)


def take_over(key: str, begin: Callable[[Old], None]) -> Outcome:
    """Take over the session of a key that the store does not know, as `switching.take_over`."""
    switch = _switch()
    if switch is None or not switch.window.admits(key):
        return Outcome.UNKNOWN
    claim = Claim(key, settings.SESSION_COOKIE_AGE)
    return switching.take_over(get_store(), claim, lambda: _old(switch.engine, key), begin)


def _old(engine: type[SessionBase], key: str) -> Old | None:
    session = engine(key)
    data, _ = split(dict(session.items()))
    return Old(session, key, data) if data else None


def _forget(*, setting: str, **_: object) -> None:
    if setting == TAKE_OVER:
        _switch.cache_clear()


setting_changed.connect(_forget)
