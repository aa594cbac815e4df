"""Free connections to each node, which threads share."""

import time
from collections.abc import Container

from crudjt._backends.valkey.link import Link
from crudjt._backends.valkey.requests import Node

POLLED_AFTER = 1.0  # seconds after which a connection is looked at: the server may have closed it
KEPT = 8  # connections to a node that stay open however long they are not used
CLOSED_AFTER = 60.0  # seconds after which the others are closed


class Pool:
    """Connections that no thread uses. The one that was used last is taken first.

    Attributes:
        closed: every connection that becomes free is closed.

    """

    def __init__(self, *, closed: bool = False) -> None:
        """Begin without any."""
        self.closed = closed
        self._free: dict[Node, list[Link]] = {}

    def take_recent(self, node: Node, now: float) -> Link | None:
        """Return a connection that was used just now, and need not be looked at; ``None`` if there is none."""
        free = self._free.get(node)
        try:
            link = free.pop() if free else None
        except IndexError:  # another thread took the last one
            return None
        if free is None or link is None or now - link.used_at < POLLED_AFTER:
            return link
        free.append(link)
        return None

    def take(self, node: Node) -> Link | None:
        """Return a connection that the server is not known to have closed; ``None`` if there is none."""
        free = self._free.get(node)
        while free:
            try:
                link = free.pop()
            except IndexError:  # another thread took the last one
                return None
            if time.monotonic() - link.used_at < POLLED_AFTER or not link.has_ended():
                return link
            link.close()
        return None

    def put(self, node: Node, link: Link) -> None:
        """Make a connection free from which every reply was read."""
        if self.closed:
            link.close()
            return
        now = link.used_at = time.monotonic()
        free = self._free.get(node)
        if free is None:
            free = self._free.setdefault(node, [])
        free.append(link)
        if len(free) > KEPT and now - free[0].used_at > CLOSED_AFTER:
            try:
                free.pop(0).close()
            except IndexError:  # as above
                return

    def keep(self, nodes: Container[Node]) -> None:
        """Close the connections to all nodes but these."""
        for node in [node for node in self._free if node not in nodes]:
            for link in self._free.pop(node, ()):
                link.close()

    def close(self) -> None:
        """Close all, and those that become free from now on."""
        self.closed = True
        self.keep(())
