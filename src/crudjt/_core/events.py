"""`Event`: something that was committed to a store, for those who follow it."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from crudjt.errors import InvalidParameter, InvalidType

EventKind = Literal["begun", "changed", "rotated", "ended", "expired", "gap"]

OLDEST = "oldest"
"""The `after` of the oldest event that is still in the log."""


NO_EVENTS = "has no events: only a store in a directory, and a server of one, has a log that can be followed"


@dataclass(frozen=True)
class Event:
    """Something that was committed to a store by any process.

    Attributes:
        kind: ``"begun"``; ``"changed"``: data or limits, or a read that is counted or restarts an idle timeout;
            ``"rotated"``; ``"ended"``; ``"expired"``: the sweep has removed a session that is known to have expired,
            which is later than its end; ``"gap"``: events before this one are lost.
        position: the `after` that goes on behind this event, in this process or another.
        time: when it was committed, in UTC: exact, or, without `exact`, the latest time that is known to be no later;
            ``None`` if none is known.
        exact: whether `time` is exact. It is for ``"begun"`` and ``"rotated"``.
        id: the `Session.id`; that of the new token for ``"rotated"``; ``None`` for ``"gap"``.
        subject: the owner, where it is known; for ``"ended"`` and ``"expired"`` it often is.
        version: the `Session.version`; ``None`` for a session that has ended.
        previous_id: of ``"rotated"``: the `Session.id` of the old token.

    """

    kind: EventKind
    position: str
    time: datetime | None = None
    exact: bool = False
    id: str | None = None
    subject: str | None = None
    version: int | None = None
    previous_id: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the attributes that are set, by name, for JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def checked_position(after: object) -> str | None:
    """Return the `after` of `Store.events`.

    Raises:
        InvalidParameter: it has not the form of a position; `InvalidType` if it is no text.

    """
    if after is not None and not isinstance(after, str):
        raise InvalidType("after", f"after must be a str (Event.position) or None, not {type(after).__name__}")
    if after not in (None, OLDEST) and Position.parsed(after) is None:
        raise InvalidParameter("after", f"after must be an Event.position, or {OLDEST!r} for all that is in the log")
    return after


@dataclass(frozen=True)
class Position:
    """A place in a log.

    Attributes:
        segment: number of the segment.
        salt: its random CRC salt, which tells it from a segment of the same number in another history.
        sequence: of the entry that was read last, whole or in part.
        done: how many events of that entry were read; those of earlier entries all were.

    """

    segment: int
    salt: int
    sequence: int
    done: int

    def __str__(self) -> str:
        """Return the text that `parsed` takes."""
        return f"{self.segment:x}-{self.salt:08x}-{self.sequence:x}-{self.done:x}"

    @classmethod
    def parsed(cls, text: str) -> "Position | None":
        """Return the position of a text; ``None`` if it is none."""
        parts = text.split("-")
        try:
            numbers = [int(part, 16) for part in parts if part.isalnum()]
        except ValueError:
            return None
        return cls(*numbers) if len(numbers) == len(parts) == 4 else None  # noqa: PLR2004 - the fields
