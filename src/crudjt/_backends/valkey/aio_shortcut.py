"""The short way of a request of a task: over a connection that is free, to a primary that is known to be well.

As `shortcut`, for asyncio.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from crudjt._backends.valkey.aio_link import AsyncLink
from crudjt._backends.valkey.aio_pool import AsyncPool
from crudjt._backends.valkey.failures import LinkBroken, LinkTimedOut
from crudjt._backends.valkey.inspection import Inspector
from crudjt._backends.valkey.link import MIN_LIMIT
from crudjt._backends.valkey.packing import pack, pack_gets, pack_one, wait_for
from crudjt._backends.valkey.pool import POLLED_AFTER
from crudjt._backends.valkey.requests import Ask, Gets, Node, Reply
from crudjt._backends.valkey.shortcut import (
    Attempt,
    Part,
    attempt_at,
    attempt_at_all,
    parts_of,
    replies_of,
    reply_of_parts,
)
from crudjt._backends.valkey.topology import Topology


class _Trip(NamedTuple):
    node: Node
    pool: AsyncPool
    part: Part


class AsyncShortcut:
    """The short way to the servers of one store."""

    def __init__(self, topology: Topology, inspector: Inspector | None) -> None:
        """Take what is known of the servers."""
        self._topology = topology
        self._inspector = inspector

    async def take(
        self, pools: Mapping[Node, AsyncPool], asks: Sequence[Ask], deadline: float
    ) -> list[Reply] | Attempt | None:
        """Return the replies to requests; ``None`` if nothing was sent, or nothing that must not be sent again."""
        topology, inspector, now = self._topology, self._inspector, time.monotonic()
        if topology.doubtful or (inspector is not None and (inspector.blocked or inspector.is_due(now))):
            return None
        if type(asks) is Gets:
            return await self._values(pools, asks, now, deadline)
        return await self._one(pools, asks[0], now, deadline) if len(asks) == 1 else None

    async def _one(
        self, pools: Mapping[Node, AsyncPool], ask: Ask, now: float, deadline: float
    ) -> list[Reply] | Attempt | None:
        """Return the reply to a request."""
        key, _, _, replicas, _, node = ask
        if key is None or node is not None:
            return None
        node = self._topology.owner(key)
        pool = _pool_with_a_link(pools, node, now)
        if node is None or pool is None:
            return None
        await pool.gate.acquire()  # at once
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

    async def _values(
        self, pools: Mapping[Node, AsyncPool], gets: Gets, now: float, deadline: float
    ) -> list[Reply] | Attempt | None:
        """Return the values of keys: each primary is sent its requests before a reply is waited for."""
        trips: list[_Trip] = []
        for node, part in parts_of(self._topology, gets).items():
            pool = _pool_with_a_link(pools, node, now)
            if node is None or pool is None:
                return None
            trips.append(_Trip(node, pool, part))
        links: list[AsyncLink] = []
        for trip in trips:
            await trip.pool.gate.acquire()  # at once
            links.append(trip.pool.free.pop())
        ends = [link.expire_in(max(deadline - now, MIN_LIMIT)) for link in links]
        values: list[list[Any]] = []
        trip, link, broken = trips[0], links[0], True
        try:
            for trip, link in zip(trips, links, strict=True):
                await link.send(pack_gets(trip.part.keys))
            gets.while_waiting()
            for trip, link in zip(trips, links, strict=True):
                values.append(await link.receive_together(len(trip.part.keys)))
            broken = False
        except LinkBroken as error:
            return attempt_at_all(trip.node, LinkTimedOut() if link.expired else error)
        finally:
            for end in ends:
                end.cancel()
            for each, (_, pool, _) in zip(links, trips, strict=True):
                pool.put(each, broken=broken)
        return reply_of_parts(gets, [trip.part for trip in trips], values)


def _pool_with_a_link(pools: Mapping[Node, AsyncPool], node: Node | None, now: float) -> AsyncPool | None:
    """Return the pool of a node if a connection is free there that was used just now, and no task waits for one."""
    pool = None if node is None else pools.get(node)
    if pool is None or not pool.free or pool.gate.locked() or now - pool.free[-1].used_at > POLLED_AFTER:
        return None
    return pool
