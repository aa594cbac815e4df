"""Long work in bites, for the sake of the other threads: an event loop that shares the process, say.

A thread that computes keeps CPython's interpreter for 5 ms (`sys.setswitchinterval`) while others wait for it. Work on
thousands of sessions gives it away far more often.
"""

from collections.abc import Iterable, Iterator
from time import sleep
from typing import Any, TypeVar

Item = TypeVar("Item")

BITE = 128  # items, each of some microseconds
_MOMENT_SECONDS = 1e-6  # with 0, who waits may not wake in time to get the interpreter


def in_bites(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items; after each bite of them, let another thread have the interpreter."""
    for number, item in enumerate(items, 1):
        yield item
        if not number % BITE:
            sleep(_MOMENT_SECONDS)


def let_go(items: list[Any]) -> None:
    """Empty a list that nobody else needs; to free thousands of items at once would be one long bite."""
    while len(items) > BITE:
        del items[-BITE:]
        sleep(_MOMENT_SECONDS)
