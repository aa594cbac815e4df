"""Sessions that another session middleware has made, as the middleware here takes them over."""

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING

from crudjt.contrib._sessions.calls import Data
from crudjt.contrib._sessions.switching import Claim, signed_part

if TYPE_CHECKING:
    from crudjt.contrib._sessions.asgi_sessions import AnySession, Sessions


class OldCookies(ABC):
    """The cookies of another session middleware.

    Attributes:
        max_age: for how many seconds it reads a cookie; ``None`` for any time.

    """

    max_age: float | None

    async def session(self, value: str, sessions: "Sessions", kind: "type[AnySession]") -> "AnySession":
        """Return the old session of the value of a cookie, an empty one if it names none, or was taken over."""
        data = await self.data(value)
        claim = Claim(signed_part(value), self.max_age)
        if not data or await claim.is_taken_in(sessions.store):
            return sessions.empty(kind)
        old = sessions.old(data, claim, kind)
        old.end_old = partial(self.end, value)
        return old

    @abstractmethod
    async def data(self, value: str) -> Data:
        """Return the data of the value of a cookie, none if it is no old one."""

    @abstractmethod
    async def end(self, value: str) -> None:
        """End the old session, where there is more of it than the cookie."""
