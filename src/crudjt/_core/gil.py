"""Yield the GIL during bulk work, so that other threads, such as an event loop, stay responsive.

A thread that computes keeps the GIL for 5 ms (`sys.setswitchinterval`) while others wait. Work on thousands of sessions
yields it far more often.
"""

from collections.abc import Iterable, Iterator, Sequence
from time import sleep
from types import BuiltinFunctionType
from typing import Any, TypeVar

Item = TypeVar("Item")

BATCH_ITEMS = 128  # each takes some microseconds
_PAUSE_SECONDS = 1e-6  # with 0, a waiting thread may not wake in time to get the GIL

# gevent and eventlet put another sleep in its place, which lets greenlets run: not while a transaction is open.
SLEEP_IS_NATIVE = isinstance(sleep, BuiltinFunctionType)


def in_batches(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, and the GIL after each `BATCH_ITEMS` of them."""
    for number, item in enumerate(items, 1):
        yield item
        if not number % BATCH_ITEMS and SLEEP_IS_NATIVE:
            sleep(_PAUSE_SECONDS)


def in_slices(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield the items `BATCH_ITEMS` at a time, and the GIL between: less for each item than `in_batches`."""
    for start in range(0, len(items), BATCH_ITEMS):
        if start and SLEEP_IS_NATIVE:
            sleep(_PAUSE_SECONDS)
        yield items[start : start + BATCH_ITEMS]


def free_in_batches(items: list[Any]) -> None:
    """Free a large list in steps, yielding the GIL between them. No other code may need the list."""
    while len(items) > BATCH_ITEMS:
        del items[-BATCH_ITEMS:]
        if SLEEP_IS_NATIVE:
            sleep(_PAUSE_SECONDS)
