"""Random bytes, drawn from the operating system in pages and handed out in chunks.

A chunk is handed out once: `list.pop` is atomic, so threads never share one, and a forked child drops what it
inherited, so processes never do (`process_guard`). A copy of a whole machine or process that runs a second time cannot
be seen from inside: what must be unique even then is mixed with the time, as `xaes` does.
"""

import os
from collections.abc import Callable
from typing import Generic, TypeVar

from crudjt._core.process_guard import guard, own_memory, renew

CHUNK_BYTES = 12
_CHUNKS_PER_PAGE = 512

Item = TypeVar("Item")


class Pool(Generic[Item]):
    """Things made from random bytes, a page of them at a time, each handed out once.

    Attributes:
        pop: hands one out, or raises `IndexError` where `refill` has to. It is the method of a list, for the paths
            where a call of ours would cost too much; look at `own_memory` before it is called.

    """

    def __init__(self, make: Callable[[list[bytes]], list[Item]]) -> None:
        """Take what turns the chunks of a page into as many items."""
        self._make = make
        self._items: list[Item] = []
        self.pop = self._items.pop
        guard(self)

    def take(self) -> Item:
        """Return an item that no other caller gets, in any process."""
        if not own_memory[0]:
            renew()
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

    def leave_to_parent(self) -> None:
        """Drop what was made in advance: the parent hands it out."""
        self._items.clear()


chunks: Pool[bytes] = Pool(lambda random: random)
