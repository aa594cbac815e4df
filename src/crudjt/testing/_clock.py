"""`FakeClock`: a clock that moves only when it is told to."""

_NS_PER_SECOND = 1_000_000_000
_START_SECONDS = 1_700_000_000


class FakeClock:
    """A clock for ``crudjt.open(clock=…)`` that moves only when it is told to.

    >>> from crudjt.testing import FakeClock, temporary_store
    >>> clock = FakeClock()
    >>> with temporary_store(clock=clock) as store:
    ...     token = store.create({"user_id": 42}, ttl=60)
    ...     clock.advance(60)
    ...     store.read(token) is None
    True
    """

    def __init__(self, seconds: int = _START_SECONDS) -> None:
        """Start at `seconds` since 1970-01-01 UTC."""
        self._now_ns = seconds * _NS_PER_SECOND

    def __call__(self) -> int:
        """Return the time in nanoseconds."""
        return self._now_ns

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`.

        Raises:
            ValueError: they are negative; `set_back` is for that.
        """
        if seconds < 0:
            raise ValueError("advance() takes seconds that are not negative; see set_back()")
        self._now_ns += round(seconds * _NS_PER_SECOND)

    def set_back(self, seconds: float) -> None:
        """Step back by `seconds`, as a host's clock does when it is corrected."""
        self._now_ns -= round(seconds * _NS_PER_SECOND)
