"""Numbers, sizes and times in words."""

from datetime import datetime, timezone
from typing import NamedTuple

_STEPS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


class Moment(NamedTuple):
    """A point in time for a page."""

    iso: str
    utc: str
    relative: str


def moment(time: datetime | None, now: datetime) -> Moment | None:
    """Return a point in time in words, ``None`` where there is none."""
    if time is None:
        return None
    seconds = (now - time).total_seconds()
    span = duration(abs(seconds))
    relative = "now" if abs(seconds) < 1 else f"{span} ago" if seconds > 0 else f"in {span}"
    time = time.astimezone(timezone.utc)
    return Moment(time.isoformat(timespec="seconds"), f"{time:%Y-%m-%d %H:%M:%S} UTC", relative)


def duration(seconds: float) -> str:
    """Return a span of time in its largest unit, rounded down: "3 hours"."""
    for size, name in _STEPS:
        if seconds >= size:
            return counted(int(seconds // size), name)
    return "less than a second"


def counted(number: int, name: str) -> str:
    """Return a number of things: "1 session", "2,000 sessions"."""
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def size(number: int) -> str:
    """Return a number of bytes in a unit that fits: "1.5 GiB"."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if number >= 1024**power:
            return f"{number / 1024**power:,.1f} {unit}"
    return counted(number, "byte")
