"""The short way of a request: over a connection that is free, to a primary that is known to be well.

Nearly all requests take it, and wait for nothing but the server. Where anything is unusual, they become a `Step`.
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from crudjt._backends.valkey.failures import LinkBroken
from crudjt._backends.valkey.inspection import Inspector
from crudjt._backends.valkey.link import Link
from crudjt._backends.valkey.packing import command_of, pack, pack_gets, pack_one, wait_for
from crudjt._backends.valkey.pool import Pool
from crudjt._backends.valkey.replies import ErrorReply
from crudjt._backends.valkey.requests import Ask, Gets, Node, Reply
from crudjt._backends.valkey.routing import DRIVERS_OWN, Batch
from crudjt._backends.valkey.topology import Topology

_VALUES = {bytes, type(None)}  # types of the value of a key
_NOT_REPEATED = False
_new_reply = partial(tuple.__new__, Reply)  # pyright: ignore[reportUnknownMemberType] # a third of the time of `Reply`


class Attempt(NamedTuple):
    """A request that was sent, with what came of it: a step must go on from there."""

    batch: Batch
    values: Sequence[Any]
    error: LinkBroken | None


class _Trip(NamedTuple):
    node: Node
    link: Link
    part: "Part"


class Part(NamedTuple):
    """Keys of `Gets` that one primary has.

    Attributes:
        keys: the keys.
        places: where each is among all of them.

    """

    keys: list[bytes]
    places: Sequence[int]


class Shortcut:
    """The short way to the servers of one store."""

    def __init__(self, topology: Topology, inspector: Inspector | None) -> None:
        """Take what is known of the servers."""
        self._topology = topology
        self._inspector = inspector

    def take(self, pool: Pool, asks: Sequence[Ask], deadline: float) -> list[Reply] | Attempt | None:
        """Return the replies to requests; ``None`` if nothing was sent, or nothing that must not be sent again."""
        topology, inspector, now = self._topology, self._inspector, time.monotonic()
        if topology.doubtful or (inspector is not None and (inspector.blocked or inspector.is_due(now))):
            return None
        if not asks:
            return []
        if type(asks) is Gets:
            return self._values(pool, asks, now, deadline)
        return self._one(pool, asks[0], now, deadline) if len(asks) == 1 else None

    def _one(self, pool: Pool, ask: Ask, now: float, deadline: float) -> list[Reply] | Attempt | None:
        """Return the reply to a request."""
        key, _, _, replicas, _, node = ask
        if key is None or node is not None:
            return None
        node = self._topology.owner(key)
        link = None if node is None else pool.take_recent(node, now)
        if node is None or link is None:
            return None
        packed, count = pack_one(ask), 1
        if replicas:
            packed, count = packed + pack((wait_for(replicas, deadline - now),)), 2
        values: list[Any] = []
        error: LinkBroken | None = None
        try:
            link.send(packed, deadline - now)
            link.receive(count, values)
        except LinkBroken as broken:
            error = broken
            link.close()
        except BaseException:
            link.close()
            raise
        else:
            pool.put(node, link)
            replies = replies_of(values)
            if replies is not None:
                return replies
        return attempt_at(ask, node, values, error, deadline - now)

    def _values(self, pool: Pool, gets: Gets, now: float, deadline: float) -> list[Reply] | Attempt | None:
        """Return the values of keys: each primary is sent its requests before a reply is waited for."""
        trips = self._trips(pool, gets, now)
        if trips is None:
            return None
        values: list[list[Any]] = []
        trip = None
        try:
            for trip in trips:
                trip.link.send(pack_gets(trip.part.keys), deadline - now)
            gets.while_waiting()
            for trip in trips:
                values.append(trip.link.receive_together(len(trip.part.keys)))
        except BaseException as error:
            for each in trips:
                each.link.close()
            if isinstance(error, LinkBroken) and trip is not None:
                return attempt_at_all(trip.node, error)
            raise
        for each in trips:
            pool.put(each.node, each.link)
        return reply_of_parts(gets, [trip.part for trip in trips], values)

    def _trips(self, pool: Pool, gets: Gets, now: float) -> list[_Trip] | None:
        """Return the primaries of keys, a connection to each, and its keys; ``None`` if a connection lacks."""
        trips: list[_Trip] = []
        for node, part in parts_of(self._topology, gets).items():
            link = None if node is None else pool.take_recent(node, now)
            if node is None or link is None:
                for each in trips:
                    pool.put(each.node, each.link)
                return None
            trips.append(_Trip(node, link, part))
        return trips


def parts_of(topology: Topology, gets: Gets) -> dict[Node | None, Part]:
    """Return the keys that each primary has; ``None`` has those whose primary is not known."""
    if not topology.clustered:
        return {topology.primaries[0]: Part(gets.keys, range(len(gets.keys)))}
    keys = gets.keys
    groups = topology.grouped(keys, gets.tag)
    return {node: Part([keys[place] for place in places], places) for node, places in groups.items()}


def reply_of_parts(gets: Gets, parts: Sequence[Part], values: Sequence[list[Any]]) -> list[Reply] | None:
    """Return the reply that the values of all parts make; ``None`` if there is an error among them."""
    if len(parts) == 1:
        found = values[0]
    else:
        found = [None] * len(gets.keys)
        for part, received in zip(parts, values, strict=True):
            for place, value in zip(part.places, received, strict=True):
                found[place] = value
    return [_new_reply((found, 0, _NOT_REPEATED))] if set(map(type, found)) <= _VALUES else None


def replies_of(values: Sequence[Any]) -> list[Reply] | None:
    """Return the reply that a request and perhaps its WAIT have brought; ``None`` if there is an error among them."""
    value, acknowledged = values[0], values[1] if len(values) > 1 else 0
    if isinstance(value, ErrorReply) or isinstance(acknowledged, ErrorReply):
        return None
    return [_new_reply((value, acknowledged, _NOT_REPEATED))]


def attempt_at(ask: Ask, node: Node, values: Sequence[Any], error: LinkBroken | None, left: float) -> Attempt:
    """Return what came of a single request, as a step takes it; `left` is how many seconds remained for it."""
    commands, positions = [command_of(ask)], [0]
    if ask.replicas:
        commands.append(wait_for(ask.replicas, left))
        positions.append(DRIVERS_OWN)
    return Attempt(Batch(node, commands, positions, ask.replicas), values, error)


def attempt_at_all(node: Node, error: LinkBroken) -> Attempt:
    """Return what came of `Gets` where a connection broke: a step sends all of it again, since nothing is changed."""
    return Attempt(Batch(node, [], [], 0), (), error)
