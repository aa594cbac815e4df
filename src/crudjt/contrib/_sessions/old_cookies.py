"""Sessions that another session middleware has made, as the middleware here takes them over."""

from abc import ABC, abstractmethod

from crudjt.contrib._sessions.calls import Data


class OldCookies(ABC):
    """The cookies of another session middleware.

    Attributes:
        max_age: for how many seconds it reads a cookie; ``None`` for any time.

    """

    max_age: float | None

    @abstractmethod
    async def data(self, value: str) -> Data:
        """Return the data of the value of a cookie, none if it is no old one."""

    @abstractmethod
    async def end(self, value: str) -> None:
        """End the old session, where there is more of it than the cookie."""
