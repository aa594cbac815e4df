"""The short way of a request of a task: over a connection that is free, to a primary that is known to be well.

As `shortcut`, for asyncio, and for single requests only.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from crudjt._backends.valkey.aio_pool import AsyncPool
from crudjt._backends.valkey.failures import LinkBroken
from crudjt._backends.valkey.inspection import Inspector
from crudjt._backends.valkey.link import MIN_LIMIT
from crudjt._backends.valkey.packing import pack, pack_one, wait_for
from crudjt._backends.valkey.pool import POLLED_AFTER
from crudjt._backends.valkey.requests import Ask, Gets, Node, Reply
from crudjt._backends.valkey.shortcut import Attempt, attempt_at, replies_of
from crudjt._backends.valkey.topology import Topology


class AsyncShortcut:
    """The short way to the servers of one store."""

    def __init__(self, topology: Topology, inspector: Inspector | None) -> None:
        """Take what is known of the servers."""
        self._topology = topology
        self._inspector = inspector

    async def take(
        self, pools: Mapping[Node, AsyncPool], asks: Sequence[Ask], deadline: float
    ) -> list[Reply] | Attempt | None:
        """Return the reply to a request; ``None`` if nothing was sent."""
        topology, inspector, now = self._topology, self._inspector, time.monotonic()
        if len(asks) != 1 or type(asks) is Gets or topology.doubtful:
            return None
        if inspector is not None and (inspector.blocked or inspector.is_due(now)):
            return None
        ask = asks[0]
        key, _, _, replicas, _, node = ask
        if key is None or node is not None:
            return None
        node = topology.owner(key)
        pool = None if node is None else pools.get(node)
        if node is None or pool is None or not pool.free or pool.gate.locked():
            return None
        await pool.gate.acquire()  # at once
        if not pool.free or now - pool.free[-1].used_at > POLLED_AFTER:
            pool.gate.release()
            return None
        link = pool.free.pop()
        values: list[Any] = []
        error: LinkBroken | None = None
        broken = True
        try:
            packed, count = pack_one(ask), 1
            if replicas:
                packed, count = packed + pack((wait_for(replicas, deadline - now),)), 2
            await link.exchange(packed, count, values, max(deadline - now, MIN_LIMIT))
            broken = False
        except LinkBroken as lost:
            error = lost
        finally:
            pool.put(link, broken=broken)
        replies = None if broken else replies_of(values)
        return attempt_at(ask, node, values, error, deadline - now) if replies is None else replies
