"""Split long lists into messages, within the limits of a message and of a call."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from crudjt.errors import InvalidParameter

Item = TypeVar("Item")

PART_ITEMS = 1000
PART_BYTES = 1024**2  # gRPC refuses messages of more than 4 MiB
MAX_MESSAGE_BYTES = 4 * 1024**2
MAX_REQUEST_DATA_BYTES = MAX_MESSAGE_BYTES - 64 * 1024  # leaves room for the rest of a request

MAX_OPERATIONS = 100  # in one batch

MAX_ITEMS = 100_000
MAX_BYTES = 64 * 1024**2


def in_parts(items: Iterable[Item], size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Yield lists of at most `PART_ITEMS` items and, if they have more than one item, `PART_BYTES` bytes."""
    part: list[Item] = []
    part_bytes = 0
    for item in items:
        item_bytes = size(item)
        if part and (len(part) == PART_ITEMS or part_bytes + item_bytes > PART_BYTES):
            yield part
            part, part_bytes = [], 0
        part.append(item)
        part_bytes += item_bytes
    if part:
        yield part


def within_one_call(parameter: str, items: Iterable[Item], size: Callable[[Item], int]) -> list[Item]:
    """Return the items as a list; read no more of them than one call may hold.

    Raises:
        InvalidParameter: more than `MAX_ITEMS` or `MAX_BYTES`.

    """
    held: list[Item] = []
    total = 0
    for item in items:
        held.append(item)
        total += size(item)
        if len(held) > MAX_ITEMS or total > MAX_BYTES:
            raise InvalidParameter(
                parameter,
                f"{parameter} may hold at most {MAX_ITEMS} items of {MAX_BYTES} bytes together in one call; make "
                "several calls",
            )
    return held
