"""The signed cookie of Starlette's own `SessionMiddleware`, which is read by that middleware."""

from datetime import date, datetime
from typing import Any

from starlette.datastructures import Secret

import crudjt
from crudjt.contrib._sessions.calls import Data
from crudjt.contrib._sessions.cookie import check_seconds
from crudjt.contrib._sessions.old_cookies import OldCookies
from crudjt.contrib._sessions.reserved import split
from crudjt.contrib._sessions.switching import Window, checked_until

_TWO_WEEKS = 14 * 24 * 60 * 60


class TakeOver(OldCookies):
    """The sessions that an application had in Starlette's signed cookie, and until when they are taken over."""

    def __init__(self, secret_key: str | Secret, until: date | datetime, max_age: int | None = _TWO_WEEKS) -> None:
        """Take what Starlette's own `SessionMiddleware` was given. The name of the cookie is that of the new one.

        Args:
            secret_key: the key that it signed with.
            until: the last day, in UTC, or a datetime with a time zone.
            max_age: seconds for which it read a cookie; ``None`` for any time.

        Raises:
            InvalidParameter: one cannot be used.

        """
        from starlette.middleware.sessions import SessionMiddleware  # noqa: PLC0415 - it needs itsdangerous

        key: object = secret_key
        if not isinstance(key, str | Secret):  # Starlette takes any value as text, and so None as "None"
            raise crudjt.InvalidType("secret_key", f"secret_key must be a str or a Secret, not {type(key).__name__}")
        if not str(key):
            raise crudjt.InvalidParameter("secret_key", "secret_key must not be empty: anybody could sign by it")
        check_seconds("max_age", max_age, 1)
        self.max_age: float | None = max_age
        self._window = Window(checked_until("take_over", until))
        self._middleware = SessionMiddleware(_nothing, secret_key, _NAME, max_age)

    async def data(self, value: str) -> Data:
        """Return the data of the value of a cookie, none if it is no old one."""
        if not self._window.admits(value):
            return {}
        scope: dict[str, Any] = {"type": "http", "headers": [(b"cookie", f"{_NAME}={value}".encode())]}
        try:
            await self._middleware(scope, _nothing, _nothing)
        except (TypeError, ValueError):  # it is signed, but for another purpose
            return {}
        return split(dict(scope["session"]))[0]

    async def end(self, value: str) -> None:
        """Do nothing: all of the session is in the cookie."""


_NAME = "session"


async def _nothing(*_: object) -> Any:
    """Serve nothing."""
