"""`SessionStore`: what Django's session framework requires of a session engine."""

import logging
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import UpdateError
from django.dispatch import Signal

from crudjt._core.session import is_of_older_key
from crudjt.contrib._sessions.calls import UNKNOWN
from crudjt.contrib._sessions.hooks import Tell, Why
from crudjt.contrib._sessions.reserved import KEYS, refuse, split
from crudjt.contrib._sessions.states import Phase, subject_of
from crudjt.contrib._sessions.switching import Outcome
from crudjt.contrib.django._async_backend import MISSING
from crudjt.contrib.django._middleware import ENDS, LOGINS, called_by
from crudjt.contrib.django._store import get_store, renews_keys
from crudjt.contrib.django._switching import Old, take_over
from crudjt.contrib.django._writing import LOGIN_KEYS, WrittenSession
from crudjt.contrib.django.signals import session_ended, teller

logger = logging.getLogger("crudjt.contrib")


class SessionStore(WrittenSession):
    """A session of Django in the store. Its key is the token: only the store mints one, and an unknown one is dropped.

    The id of the user who is logged in is the session's subject. To set it is to log in: the session gets a new key at
    once, also when the same user logs in again. To remove it is to log out: the session ends at once.
    """

    _before_login: dict[str, Any] | None = None  # the keys of the login that is being set, as they were

    def rotate(self) -> None:
        """Give the session a new key, as `cycle_key`; the old key is dead. Call it when rights change."""
        self.cycle_key()

    @property
    def modified(self) -> bool:
        """Whether the session is to be saved: a key was set or removed, or a value changed, also deep inside."""
        return self._modified or self._has_changed() or self._renews

    @modified.setter
    def modified(self, modified: bool) -> None:  # pyright: ignore[reportIncompatibleVariableOverride] # an attribute
        self._modified = modified

    # The data

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value; that of the user's id is a login."""
        if key in KEYS:
            refuse(key)
        self._set(key, value, more_follows=key == SESSION_KEY and called_by(LOGINS))

    def __delitem__(self, key: str) -> None:
        """Remove a value; that of the user's id is a logout."""
        super().__delitem__(key)
        if key == SESSION_KEY:
            self.flush()

    def pop(self, key: str, default: Any = MISSING) -> Any:
        """Remove a value and return it; that of the user's id is a logout."""
        if default is not MISSING and key not in self._session:
            return default
        value = self._session[key]
        del self[key]
        return value

    def update(self, dict_: Any) -> None:  # type: ignore[override] # the stubs have overloads
        """Set several values."""
        for key, value in dict(dict_).items():
            self[key] = value

    def clear(self) -> None:
        """End the session, as `flush`. What is set afterwards begins another."""
        self.flush()

    def flush(self) -> None:
        """End the session: log out."""
        super().clear()
        self._hidden = {}
        if self.session_key is not None:
            self._end(self.session_key, "logout")
        self._session_key = None
        self._held = self._before_login = self._new_labels = None

    def is_empty(self) -> bool:
        """Return whether there is neither a key nor data."""
        if called_by(ENDS):  # the first thing that Django's middleware does to a response
            if settings.SESSION_SAVE_EVERY_REQUEST and not self._begun:
                self.keys()  # Django is about to load it, and later an old session cannot be taken over
            self._begun = True
        return super().is_empty()

    # The store

    def load(self) -> dict[str, Any]:
        """Return the data; an unknown key is forgotten, so that it is never adopted.

        So is that of a session which is bound to a device, unless `DeviceBoundMiddleware` has seen its proof.
        """
        held, session = self._ahead or self._looked_up()
        self._ahead = self._inside = None
        if held is not None and held.device is not None and held.device.registered and not self._proven:
            logger.warning("bound session used without proof, and not served: %s", held.id)
            held = None
        self._held = held
        if held is None or session is None:
            key, self._session_key = self.session_key, None
            return self._taken_over(key) if key and session is None else {}
        visible, self._hidden = split(session.data)
        self._renews = is_of_older_key(session) and renews_keys()
        return visible

    def exists(self, session_key: str | None) -> bool:
        """Return whether a key names a live session."""
        return session_key is not None and get_store().peek(session_key) is not None

    def create(self) -> None:
        """Store the data as a new session, under a new key."""
        self._session_key = self._held = None  # so that nothing is loaded, and no key is taken over
        self._run(None, self._left())
        self._modified = True

    def save(self, must_create: bool = False) -> None:
        """Store what has changed; with `must_create`, as a new session.

        Requests that run concurrently keep each other's keys: on one key the last writer wins.

        Raises:
            UpdateError: the session has ended since it was loaded. It stays ended.

        """
        self.keys()  # loads it, and so forgets an unknown key
        if self._before_login is not None:
            self._log_in()
        if must_create or self.session_key is None:
            if self._begun and not called_by(ENDS):
                self._run(None, self._left(Phase.AFTER_HEADERS))
            else:
                self.create()
            return
        held = self._held
        if held is None or held.token != self.session_key:
            raise UpdateError
        if held.read is None and not self._has_changed():  # stored by this request, with its limits
            alive = get_store().read(held.token) is not None  # what it wrote lies in the read cache
        else:
            renews = self._renews and (not self._begun or called_by(ENDS))
            known = UNKNOWN if self._renews else self._updated(held)
            alive = known is True or not self._run(held, self._left(touches=True, rotates=renews), known).lost
            self._modified = self._modified or renews
        if not alive:
            raise UpdateError

    def delete(self, session_key: str | None = None) -> None:
        """End the session of a key, or this one."""
        key = self.session_key if session_key is None else session_key
        if key is not None:
            self._end(key, "ended")

    def cycle_key(self) -> None:
        """Give the session a new key and keep its data; the old key is dead from then on.

        A session that has ended since it was loaded keeps its dead key, so that saving it fails.

        Raises:
            RuntimeError: the response has begun, so no cookie with a new key can be sent.

        """
        self._require_headers()
        if called_by(LOGINS):  # which goes on to set the user's id, and so to change the key
            return
        self.keys()  # loads it, and so forgets an unknown key
        held = self._held
        if held is None:
            self.create()
            return
        self._run(held, self._left(rotates=True))
        self._modified = True

    @classmethod
    def clear_expired(cls) -> None:
        """Remove expired sessions from the store. It does so by itself once a day; they are never served."""
        get_store().sweep()

    # The rules

    def _taken_over(self, key: str) -> dict[str, Any]:
        """Return the data of a session of the old engine, which goes on under a new key; none if there is none."""
        request = self.request()
        if request is None or self._begun:  # no cookie with the new key can be sent
            return {}
        outcome = take_over(key, self._go_on)
        self._left_of_old = None
        if outcome is Outcome.TAKEN_BEFORE:
            request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)  # else Django removes that of the new key
        return self._session if outcome is Outcome.TAKEN else {}

    def _go_on(self, old: Old) -> None:
        self._session_cache, self._left_of_old = old.data, old.left
        self.create()
        old.end()

    def _set(self, key: str, value: Any, *, more_follows: bool) -> None:
        """Set a value; of the user's id, with `more_follows` if the hash of the password is set next."""
        if key == SESSION_KEY and subject_of(value) is None:
            self.pop(key, None)
        elif key == SESSION_KEY:
            self._begin_login(value)
        super().__setitem__(key, value)
        is_last = key == HASH_SESSION_KEY or (key == SESSION_KEY and not more_follows)
        if is_last and self._before_login is not None:
            self._log_in()

    def _begin_login(self, value: Any) -> None:
        self._require_headers()
        data = self._session
        if SESSION_KEY in data and subject_of(data[SESSION_KEY]) not in (None, subject_of(value)):
            self.flush()
            data = self._session
        self._before_login = {key: data[key] for key in LOGIN_KEYS if key in data}

    def _log_in(self) -> None:
        """Move the session to a new key that belongs to a user, at once: the key is final when `login` returns."""
        before, self._before_login = self._before_login or {}, None
        try:
            known = self._rotated(self._held)
            if not isinstance(known, str):
                self._run(self._held, self._left(login=True), known)
        except BaseException:
            self._differs = True
            for key in LOGIN_KEYS:
                self._session.pop(key, None)
            self._session.update(before)
            raise

    def _end(self, key: str, why: Why) -> None:
        tell_ended = self._teller(session_ended)
        session = get_store().peek(key) if tell_ended else None
        if get_store().delete(key) and tell_ended and session is not None:
            tell_ended(session.id, session.subject, why)

    def _teller(self, signal: Signal) -> Tell | None:
        return teller(signal, SessionStore, self.request)
