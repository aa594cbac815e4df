"""The asynchronous methods of Django's sessions: each does in a thread what the blocking one does."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.db import close_old_connections

from crudjt.contrib.django._middleware import LOGINS, called_by

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

MISSING: Any = object()
"""The default of a `pop` that has none."""


class AsyncSessionBase(SessionBase, ABC):
    """The base of a session engine that blocks."""

    @abstractmethod
    def _set(self, key: str, value: Any, *, more_follows: bool) -> None:
        """Set a value as ``session[key] = value`` does; with `more_follows`, as a part of a login."""

    async def aset(self, key: str, value: Any) -> None:
        """Do as ``session[key] = value``."""
        more_follows = key == SESSION_KEY and called_by(LOGINS)
        await self.aget(key)  # so that it is loaded
        if key in (SESSION_KEY, HASH_SESSION_KEY):
            await _off_the_loop(self._set, key, value, more_follows=more_follows)
        else:
            self[key] = value

    async def apop(self, key: str, default: Any = MISSING) -> Any:
        """Do as `pop`."""
        return await _off_the_loop(self.pop, key, default)

    async def aupdate(self, dict_: Any) -> None:
        """Do as `update`."""
        for key, value in dict(dict_).items():
            await self.aset(key, value)

    async def aflush(self) -> None:
        """Do as `flush`."""
        await _off_the_loop(self.flush)

    async def aload(self) -> dict[str, Any]:
        """Do as `load`."""
        return await _off_the_loop(self._load_in_thread)

    def _load_in_thread(self) -> dict[str, Any]:
        close_old_connections()  # no request closes those of this thread, in which an old session may be read
        return self.load()

    async def aexists(self, session_key: str | None) -> bool:
        """Do as `exists`."""
        return session_key is not None and await _off_the_loop(self.exists, session_key)

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
        if not called_by(LOGINS):
            await _off_the_loop(self.cycle_key)

    @classmethod
    async def aclear_expired(cls) -> None:
        """Do as `clear_expired`."""
        await _off_the_loop(cls.clear_expired)


async def _off_the_loop(
    function: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
) -> _Result:
    """Call in a thread: a write may wait for the disk or another process, and the first call opens the store."""
    return await sync_to_async(function, thread_sensitive=False)(*arguments, **named)
