"""The connections of an event loop, which its tasks share."""

import asyncio
import time
from collections.abc import Container

from crudjt._backends.valkey.aio_link import AsyncLink
from crudjt._backends.valkey.pool import CLOSED_AFTER, KEPT
from crudjt._backends.valkey.requests import Node

_MAX_CONNECTIONS = 64  # to one node from one event loop; other calls wait for them


class AsyncPool:
    """The connections of one event loop to one node.

    Attributes:
        free: those that no task uses; the one that was used last is taken first.
        gate: to be acquired before a connection is taken or made; `put` releases it.
        closed: every connection that becomes free is closed.

    """

    def __init__(self) -> None:
        """Begin without any."""
        self.free: list[AsyncLink] = []
        self.gate = asyncio.Semaphore(_MAX_CONNECTIONS)
        self.closed = False

    def put(self, link: AsyncLink, *, broken: bool) -> None:
        """Make a connection free from which every reply was read, or close it."""
        if broken or link.expired or self.closed:
            link.close()
        else:
            now = link.used_at = time.monotonic()
            free = self.free
            free.append(link)
            if len(free) > KEPT and now - free[0].used_at > CLOSED_AFTER:
                free.pop(0).close()
        self.gate.release()

    def close_free(self) -> None:
        """Close the free connections."""
        while self.free:
            self.free.pop().close()


class LoopState:
    """The connections of one event loop.

    Attributes:
        pools: those to each node.
        refreshing: held by the task that asks for the map.

    """

    def __init__(self) -> None:
        """Begin without any."""
        self.pools: dict[Node, AsyncPool] = {}
        self.refreshing = asyncio.Lock()

    def keep(self, nodes: Container[Node]) -> None:
        """Close the free connections to all nodes but these."""
        for node, pool in self.pools.items():
            if node not in nodes:
                pool.close_free()

    def close(self) -> None:
        """Close all, and those that become free from now on."""
        for pool in self.pools.values():
            pool.closed = True
            pool.close_free()
