"""The source of time.

A clock is a callable that returns nanoseconds since 1970-01-01 UTC, as an integer, so that deadlines compare exactly.
Each operation reads it once and passes the time on. `crudjt.testing.FakeClock` is the other clock.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

Clock = Callable[[], int]

NS_PER_MS = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

system_clock: Clock = time.time_ns


def utc(ms: int) -> datetime:
    """Return the UTC time of a number of milliseconds since 1970."""
    return EPOCH + timedelta(milliseconds=ms)


def iso(moment: datetime) -> str:
    """Return a UTC time as text that always has a fraction of a second: one time in a thousand, it is zero."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
