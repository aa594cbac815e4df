"""The clock of a store on servers: theirs, so that hosts whose clocks differ agree on when a session ends."""

import time
from collections.abc import Callable, Collection
from functools import partial
from statistics import median_low
from typing import Final

from crudjt._backends.valkey.requests import Node

_NS = 10**9
_MAX_TRIP = _NS  # a sample that took longer says too little

# It goes on while the machine sleeps, where the system has such a clock.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)

local_ns: Callable[[], int] = time.monotonic_ns if _CLOCK is None else partial(time.clock_gettime_ns, _CLOCK)
"""Returns nanoseconds of a local clock that no one sets."""


class ClusterClock:
    """Nanoseconds since 1970 by the servers: a local clock that is never set, and an offset.

    The offset is the median over the primaries, so one of several whose clock is wrong has no effect.
    """

    def __init__(self) -> None:
        """Begin with the clock of this host, until the first sample."""
        self._offsets: dict[Node, int] = {}
        self._offset = time.time_ns() - local_ns()

    def __call__(self) -> int:
        """Return the time."""
        return local_ns() + self._offset

    def sample(self, node: Node, seconds: int, microseconds: int, before: int, after: int) -> None:
        """Take a reply to TIME. `before` and `after` are `local_ns` when it was asked and when it was there."""
        if after - before <= _MAX_TRIP or node not in self._offsets:
            self._offsets[node] = seconds * _NS + microseconds * 1000 - (before + after) // 2

    def settle(self, primaries: Collection[Node]) -> dict[Node, float]:
        """Set the clock by the samples of these primaries; return by how many seconds each differs from it."""
        self._offsets = {node: offset for node, offset in self._offsets.items() if node in primaries}
        if self._offsets:
            self._offset = median_low(self._offsets.values())
        return {node: (offset - self._offset) / _NS for node, offset in self._offsets.items()}
