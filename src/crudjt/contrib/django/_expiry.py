"""How long a session of Django lives: Django's expiry, or the lifetime that the application has chosen."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from crudjt.contrib._sessions.calls import Lifetime
from crudjt.contrib._sessions.lifetime import Lasting, idle_timeout, remaining, shortest
from crudjt.contrib._sessions.reserved import IDLE_TIMEOUT as CHOSEN_IDLE_TIMEOUT
from crudjt.contrib._sessions.reserved import LIFETIME
from crudjt.contrib._sessions.states import Held
from crudjt.contrib._settings import ABSOLUTE_TIMEOUT, IDLE_TIMEOUT
from crudjt.contrib.django._async_backend import AsyncSessionBase
from crudjt.contrib.django._store import timeout_of

_EXPIRY = "_session_expiry"
_CHOSEN = frozenset({_EXPIRY, LIFETIME, CHOSEN_IDLE_TIMEOUT})  # the keys of the limits of one session


class LastingSession(Lasting, AsyncSessionBase):
    """A session with Django's expiry and a `lifetime`: the one that was set last holds."""

    _session: dict[str, Any]  # a property of SessionBase, loads once; the stubs of Django leave it out
    _held: Held | None = None
    _expired = False
    _left_of_old: float | None = None  # seconds that a session of another engine had left, while it is taken over
    _modified = False
    _differs = False  # whether it may differ from what is stored although `modified` was not set

    def hidden(self, key: str) -> Any:
        """Return the value of a reserved key, ``None`` if it has none."""
        if "_session_cache" not in self.__dict__:
            self.keys()  # loads it
        return self._hidden.get(key)

    def hide(self, key: str, value: Any) -> None:
        """Keep a value under a reserved key until the session ends; ``None`` removes it."""
        self.keys()  # loads it
        super().hide(key, value)
        self._differs = True
        if key == LIFETIME:
            self._session.pop(_EXPIRY, None)
        self._modified = True

    def set_expiry(self, value: datetime | timedelta | int | None) -> None:
        """Do as Django; it takes the place of a `lifetime`."""
        self.hide(LIFETIME, None)
        super().set_expiry(value)

    async def aset_expiry(self, value: datetime | timedelta | int | None) -> None:
        """Do as `set_expiry`."""
        await self.aget(_EXPIRY)  # so that it is loaded
        self.set_expiry(value)

    def get_expiry_age(self, **kwargs: Any) -> int:
        """Return the seconds until the session ends, as Django."""
        if "expiry" not in kwargs:
            left = self._left_of_lifetime()
            if left is not None:
                return left
            if not self.get(_EXPIRY):
                return self.get_session_cookie_age()  # as Django, which looks at the clock all the same
        return super().get_expiry_age(**kwargs)

    async def aget_expiry_age(self, **kwargs: Any) -> int:
        """Do as `get_expiry_age`."""
        await self.aget(_EXPIRY)  # so that it is loaded
        return self.get_expiry_age(**kwargs)

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        """Return when the session ends, as Django."""
        left = None if "expiry" in kwargs else self._left_of_lifetime()
        if left is None:
            return super().get_expiry_date(**kwargs)
        return timezone.now() + timedelta(seconds=left)

    async def aget_expiry_date(self, **kwargs: Any) -> datetime:
        """Do as `get_expiry_date`."""
        await self.aget(_EXPIRY)  # so that it is loaded
        return self.get_expiry_date(**kwargs)

    def get_expire_at_browser_close(self) -> bool:
        """Return whether the cookie goes with the browser, as Django."""
        chosen = self.hidden(LIFETIME)
        return super().get_expire_at_browser_close() if chosen is None else chosen == 0

    async def aget_expire_at_browser_close(self) -> bool:
        """Do as `get_expire_at_browser_close`."""
        await self.aget(_EXPIRY)  # so that it is loaded
        return self.get_expire_at_browser_close()

    def _left_of_lifetime(self) -> int | None:
        left = remaining(self.hidden(LIFETIME) or None, self._held)
        return None if left is None else math.ceil(left)

    def _lifetime(self, data: Mapping[Any, Any], held: Held | None) -> Lifetime:
        """Return Django's limits and ours; an expiry that has passed ends the session once it is saved."""
        self._expired = False
        absolute, idle = timeout_of(ABSOLUTE_TIMEOUT), timeout_of(IDLE_TIMEOUT)
        if absolute is None and self._left_of_old is None and _CHOSEN.isdisjoint(data):  # as below, in less time
            age = self.get_session_cookie_age()
            self._expired = age <= 0
            return Lifetime(max(age, 1), idle)
        kept = self.kept(data, held, idle)
        if kept is not None:
            return kept
        lifetime = remaining(data.get(LIFETIME) or None, held)
        if lifetime is None:
            expiry = data.get(_EXPIRY)
            # What Django's `get_expiry_age` returns without an expiry, for which it looks at the clock all the same.
            age = self.get_expiry_age(expiry=expiry) if expiry else self.get_session_cookie_age()
            self._expired = age <= 0
            lifetime = max(age, 1)
        ttl = shortest(lifetime, remaining(absolute, held), self._left_of_old)
        return Lifetime(ttl, idle_timeout(data, idle))
