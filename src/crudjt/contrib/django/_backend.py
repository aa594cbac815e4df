"""`SessionStore`: what Django's session framework asks of a session engine."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase, UpdateError

from crudjt.contrib._saving import Held, Limits, begin, found, read_session, remaining, save, shortest
from crudjt.contrib._settings import ABSOLUTE_TIMEOUT, IDLE_TIMEOUT, timeout
from crudjt.contrib.django._store import get_store, setting

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class SessionStore(SessionBase):
    """A session of Django in the store. Its key is the token: only the store mints one, and an unknown one is dropped.

    The id of the user who is logged in is the session's subject. When it changes, so does the key; also when the same
    user logs in again.
    """

    _session: dict[str, Any]  # a property of SessionBase, loads once; the stubs of Django leave it out
    _held: Held | None = None
    _logged_in = False

    @property
    def handle(self) -> str | None:
        """The session's public name, as in a list of a user's sessions: no key. ``None`` if it is not stored."""
        key = self.session_key
        session = None if key is None else get_store().peek(key)
        return None if session is None else session.id

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value; that of the user's id is a login."""
        self._logged_in = self._logged_in or key == SESSION_KEY
        super().__setitem__(key, value)

    async def aset(self, key: str, value: Any) -> None:
        """Do as ``session[key] = value``, which finds the data loaded already."""
        await self.aget(key)
        self[key] = value

    def load(self) -> dict[str, Any]:
        """Return the data; an unknown key is forgotten, so that it is never adopted."""
        key = self.session_key
        session = None if key is None else read_session(get_store(), key)
        if key is None or session is None:
            self._session_key = None
            return {}
        self._held = found(key, session)
        return session.data

    def exists(self, session_key: str | None) -> bool:
        """Tell whether a key names a live session."""
        return session_key is not None and get_store().peek(session_key) is not None

    def create(self) -> None:
        """Store the data as a new session, under a new key."""
        self._session_key = None  # so that nothing is loaded, and no key is taken over
        data = self._session
        self._hold(begin(get_store(), data, _subject(data), self._limits(0.0)))
        self._logged_in = False
        self._end_if_expired()
        self.modified = True

    def save(self, must_create: bool = False) -> None:
        """Store what has changed; with `must_create`, as a new session.

        Requests that run at the same time keep each other's keys: the last to write wins key by key.

        Raises:
            UpdateError: the session has ended meanwhile. It stays ended.

        """
        if must_create or self.session_key is None:
            self.create()
            return
        data = self._session
        held = self._held_now()
        saved = None if held is None else save(get_store(), held, data, _subject(data), self._limits(held.age))
        if saved is None:
            raise UpdateError
        again = self._logged_in and held is not None and saved.token == held.token
        self._hold(saved)
        self._logged_in = False
        if again:
            self.cycle_key()
        self._end_if_expired()

    def delete(self, session_key: str | None = None) -> None:
        """End the session of a key, or this one."""
        key = self.session_key if session_key is None else session_key
        if key is not None:
            get_store().delete(key)

    def cycle_key(self) -> None:
        """Give the session a new key and keep its data; the old key is dead from then on.

        A session that has ended meanwhile keeps its dead key, so that saving it fails.
        """
        self.keys()  # loads it, and so forgets an unknown key
        key = self.session_key
        if key is None:
            self.create()
            return
        rotated = get_store().rotate(key)
        if rotated is not None:
            self._session_key = rotated
            if self._held is not None:
                self._held = replace(self._held, token=rotated)
        self.modified = True

    @classmethod
    def clear_expired(cls) -> None:
        """Remove expired sessions from the store. It does so by itself once a day; they are never served."""
        get_store().sweep()

    async def aload(self) -> dict[str, Any]:
        """Do as `load`."""
        return await _off_the_loop(self.load)

    async def aexists(self, session_key: str | None) -> bool:
        """Do as `exists`."""
        return await _off_the_loop(self.exists, session_key)

    async def acreate(self) -> None:
        """Do as `create`."""
        await _off_the_loop(self.create)

    async def asave(self, must_create: bool = False) -> None:
        """Do as `save`."""
        await _off_the_loop(self.save, must_create)

    async def adelete(self, session_key: str | None = None) -> None:
        """Do as `delete`."""
        await _off_the_loop(self.delete, session_key)

    async def acycle_key(self) -> None:
        """Do as `cycle_key`."""
        await _off_the_loop(self.cycle_key)

    @classmethod
    async def aclear_expired(cls) -> None:
        """Do as `clear_expired`."""
        await _off_the_loop(cls.clear_expired)

    def _hold(self, held: Held) -> None:
        self._held, self._session_key = held, held.token

    def _held_now(self) -> Held | None:
        """Return the stored session, also where `clear` has put empty data in its place unread."""
        key = self.session_key
        if key is None or (self._held is not None and self._held.token == key):
            return None if key is None else self._held
        session = get_store().peek(key)
        return None if session is None else found(key, session)

    def _limits(self, age: float) -> Limits:
        lifetime = max(self.get_expiry_age(), 1)
        ttl = shortest(lifetime, remaining(timeout(setting, ABSOLUTE_TIMEOUT), age))
        return Limits(ttl, timeout(setting, IDLE_TIMEOUT))

    def _end_if_expired(self) -> None:
        if self.get_expiry_age() <= 0:
            self.delete()


def _subject(data: dict[str, Any]) -> str | None:
    user = data.get(SESSION_KEY)
    return None if user is None or user == "" else str(user)


async def _off_the_loop(
    function: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
) -> _Result:
    """Call in a thread: a write may wait for the disk or another process, and the first call opens the store."""
    return await sync_to_async(function, thread_sensitive=False)(*arguments, **named)
