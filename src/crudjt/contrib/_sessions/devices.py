"""The list "your sessions": where a user is logged in, for a page that shows and ends it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crudjt import Session


@dataclass(frozen=True, repr=False)  # as answers of FastAPI and Flask can be
class Device:
    """A session of a user, as a page shows it. Address and user agent come from the client: escape them in HTML.

    Attributes:
        id: the handle, for `end_session`; it is no token.
        address: the network address that the session began at; ``None`` if it was not recorded.
        agent: the user agent that it began with; ``None`` if it was not recorded.
        begun: when it began, in UTC.
        last_seen: when it was last used, in UTC, up to a tenth of the idle timeout too early; ``None`` without one.
        here: whether it is the session of the request.

    """

    id: str
    address: str | None
    agent: str | None
    begun: datetime
    last_seen: datetime | None
    here: bool

    def __repr__(self) -> str:
        """Name the session, and nothing of the client."""
        return f"<Device {self.id}>"


def devices(sessions: Iterable[Session[Any]], here: str | None) -> list[Device]:
    """Return the sessions of a user for a page: first the one that it is shown in, then those last used.

    Args:
        sessions: what `sessions_of` returned.
        here: the handle of the session of the request.

    """
    found = [
        Device(
            session.id,
            session.client.address if session.client else None,
            session.client.agent if session.client else None,
            session.created_at,
            session.last_seen,
            session.id == here,
        )
        for session in sessions
    ]
    return sorted(found, key=lambda each: (each.here, each.last_seen or each.begun), reverse=True)
