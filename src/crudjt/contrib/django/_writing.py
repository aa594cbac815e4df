"""The writes of a session of Django: its data as a request leaves it, and logins."""

from abc import abstractmethod
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.dispatch import Signal

from crudjt.contrib._sessions import sync
from crudjt.contrib._sessions.calls import UNKNOWN
from crudjt.contrib._sessions.core import save
from crudjt.contrib._sessions.hooks import Tell, tell
from crudjt.contrib._sessions.labels import Labelled
from crudjt.contrib._sessions.merge import adopt, changeable, is_same, packed
from crudjt.contrib._sessions.plain import plain_write
from crudjt.contrib._sessions.reserved import join, split
from crudjt.contrib._sessions.states import Done, Held, Left, Phase, subject_of
from crudjt.contrib._settings import MAX_DATA_BYTES
from crudjt.contrib.django._requests import RequestSession
from crudjt.contrib.django._store import get_store, max_sessions_of_user, offers_devices, records_client
from crudjt.contrib.django.signals import session_begun, session_ended
from crudjt.errors import DataTooLarge, VersionConflict

LOGIN_KEYS = (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY)
"""The keys that Django's `login` sets, the hash last."""


class WrittenSession(RequestSession, Labelled):
    """A session that is written where its data differs from what the request found."""

    _session_cache: dict[str, Any]
    _begun = False
    _renews = False  # the key is of an older secret key, and becomes another with the response
    _inside: list[Any] | None = None  # values that may change inside, while no key is set; `None` before the first look

    def _has_changed(self) -> bool:
        held, data = self._held, getattr(self, "_session_cache", None)
        if held is None or data is None:
            return False
        joined = join(data, self._hidden)
        if not self._modified and not self._differs:
            if self._inside is None:
                self._inside = changeable(joined)
            if is_same(held.before, joined, self._inside):
                return False
        return not held.equals(packed(joined))

    def _left(
        self,
        phase: Phase = Phase.BEFORE_HEADERS,
        *,
        login: bool = False,
        rotates: bool = False,
        touches: bool = False,
    ) -> Left:
        data = self._session
        subject = subject_of(data.get(SESSION_KEY))
        return Left(
            join(data, self._hidden),
            subject,
            self._lifetime,
            phase,
            login,
            rotates,
            touches=touches,
            sets=self._modified,
            keeps_empty=True,
            max_sessions=max_sessions_of_user(),
            client=self._client(),
            binds=offers_devices() and subject is not None,
            labels=self._new_labels,
            login_keys=LOGIN_KEYS,
        )

    def _updated(self, held: Held) -> Any:
        """Write changed data, if that is all; return the answer of the store, `UNKNOWN` if it was not called."""
        change = plain_write(held, join(self._session, self._hidden))
        if not change.changes:
            return UNKNOWN
        ttl, idle = self._lifetime(change.data, held)
        try:
            known = get_store().update(held.token, change.data, ttl, idle=idle, if_version=held.version)
        except VersionConflict as conflict:
            return conflict
        except DataTooLarge:  # `sync.run` names the setting
            return UNKNOWN
        if known:
            self._take(change.updated())
        return known

    def _rotated(self, held: Held | None) -> Any:
        """Store a login, if nothing else was chosen; return the answer of the store, `UNKNOWN` if it was not called."""
        if (
            held is None
            or self._hidden
            or self._new_labels is not None
            or max_sessions_of_user() is not None
            or records_client()
            or offers_devices()
            or session_begun.receivers
            or session_ended.receivers
        ):
            return UNKNOWN
        login = plain_write(held, self._session)
        subject = subject_of(self._session.get(SESSION_KEY))
        ttl, idle = self._lifetime(login.data, None)
        data, version = (login.data, held.version) if login.changes else (None, None)
        try:
            known = get_store().rotate(held.token, data=data, subject=subject, ttl=ttl, idle=idle, if_version=version)
        except VersionConflict as conflict:
            return conflict
        except DataTooLarge:
            return UNKNOWN
        if known is not None:
            self._take(login.rotated(known, subject))
        return known

    def _take(self, held: Held | None) -> None:
        """Take over the session as it is stored."""
        self._held = held
        self._renews = False
        self._differs = True
        self._chosen = frozenset()
        if held is not None and held.token != self.session_key:
            self._session_key = held.token
        if self._expired:
            self.delete()

    def _run(self, found: Held | None, left: Left, known: Any = UNKNOWN) -> Done:
        done = sync.run(get_store(), save(found, left), MAX_DATA_BYTES, known)
        self._take(done.held)
        if done.merged is not None:
            visible, self._hidden = split(done.merged)
            adopt(self._session, visible)
        tell_begun = self._teller(session_begun)
        tell_ended = self._teller(session_ended)
        if tell_begun or tell_ended:
            self._held = tell(get_store(), found, left, done, tell_begun, tell_ended).held
        return done

    @abstractmethod
    def _teller(self, signal: Signal) -> Tell | None:
        """Return a function that sends a signal for this session; ``None`` if it has no receivers."""

    def _require_headers(self) -> None:
        if self._begun:
            raise RuntimeError("the response has begun: a cookie with a new key can no longer be sent")
