"""Random bytes, drawn from the operating system in pages and handed out in chunks.

A chunk is handed out once: `list.pop` is atomic, so threads never share one, and a forked child drops what it
inherited, so processes never do.
"""

import os
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

CHUNK_BYTES = 12
_CHUNKS_PER_PAGE = 512

Item = TypeVar("Item")


class Pool(Generic[Item]):
    """Things made from random bytes, a page of them at a time, each handed out once.

    Attributes:
        pop: hands one out, or raises `IndexError` where `refill` has to. It is the method of a list, for the paths
            where a call of ours would cost too much.

    """

    def __init__(self, make: Callable[[list[bytes]], list[Item]]) -> None:
        """Take what turns the chunks of a page into as many items."""
        self._make = make
        self._items: list[Item] = []
        self.pop = self._items.pop
        _pools.add(self)

    def take(self) -> Item:
        """Return an item that nobody else gets."""
        try:
            return self.pop()
        except IndexError:
            return self.refill()

    def refill(self) -> Item:
        """Return an item of a new page, made from the operating system's CSPRNG (OWASP ASVS 5.0, 11.5.1)."""
        page = os.urandom(CHUNK_BYTES * _CHUNKS_PER_PAGE)
        items = self._make([page[at : at + CHUNK_BYTES] for at in range(0, len(page), CHUNK_BYTES)])
        item = items.pop()
        self._items.extend(items)
        return item

    def clear(self) -> None:
        """Forget what was made ahead."""
        self._items.clear()


_pools: "weakref.WeakSet[Pool[Any]]" = weakref.WeakSet()

chunks: Pool[bytes] = Pool(lambda random: random)


def _forget_inherited() -> None:
    for pool in _pools:
        pool.clear()


os.register_at_fork(after_in_child=_forget_inherited)
