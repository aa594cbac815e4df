"""Open the two stores of a move, and check that they belong together."""

from collections.abc import Callable
from typing import Any

from crudjt._backends.moving.mover import check
from crudjt._backends.moving.ports import Destination, Source


def open_both(
    open_source: Callable[[Any], Source], source: Any, open_destination: Callable[..., Destination], destination: Any
) -> tuple[Source, Destination]:
    """Open the source, and the destination with the salt and the keys of the source.

    Raises:
        StoreInaccessible: the destination is of another move, or of another store.

    """
    here = open_source(source)
    try:
        there = open_destination(destination, here.identity)
        try:
            check(here, there)
        except BaseException:
            there.store.close()
            raise
    except BaseException:
        here.store.close()
        raise
    return here, there


def look_at_both(
    open_source: Callable[[Any], Source], source: Any, exists: Callable[..., bool], destination: Any
) -> tuple[Source, bool]:
    """Open the source, and tell whether the destination exists.

    Raises:
        StoreInaccessible: the destination is of another store.

    """
    here = open_source(source)
    try:
        return here, exists(destination, here.identity)
    except BaseException:
        here.store.close()
        raise
