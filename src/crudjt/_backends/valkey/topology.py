"""The map from hash slots to primaries, and when to ask the cluster for a new one. Pure: it connects to nothing."""

import random
import threading
import time
from array import array
from binascii import crc_hqx
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from crudjt._backends.valkey.requests import Node

SLOTS = 16_384

_MIN_INTERVAL = 1.0  # seconds between two refreshes of one process
_JITTER = 0.2  # seconds; the processes that see a failover at once do not all refresh at once
_UNKNOWN_HOST = "?"  # announced by a node that prefers a host name and has none


_Numbered = tuple[tuple[Node | None, ...], "array[int]"]


def slot_of(key: bytes) -> int:
    """Return the hash slot of a key: CRC16 of the key, or of what stands between the first braces, if anything does."""
    _, opened, rest = key.partition(b"{")
    tag, closed, _ = rest.partition(b"}")
    return crc_hqx(tag if opened and closed and tag else key, 0) % SLOTS


class Shard(NamedTuple):
    """A range of slots and the nodes that hold it.

    Attributes:
        first: the first slot.
        last: the last slot.
        primary: its primary; ``None`` if the cluster does not say where that is.
        replicas: the replicas whose address is known.

    """

    first: int
    last: int
    primary: Node | None
    replicas: tuple[Node, ...]


def shards_in(reply: Any, asked: Node) -> list[Shard]:
    """Return the shards in a reply to CLUSTER SLOTS. A node without a host is the one that was asked.

    Raises:
        ValueError: the reply has another form.

    """
    try:
        return [_shard(int(first), int(last), [_node(node, asked) for node in nodes]) for first, last, *nodes in reply]
    except (TypeError, IndexError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError("CLUSTER SLOTS has an unknown form") from error


def _shard(first: int, last: int, nodes: Sequence[Node | None]) -> Shard:
    return Shard(first, last, nodes[0], tuple(node for node in nodes[1:] if node is not None))


def _node(described: Sequence[Any], asked: Node) -> Node | None:
    return resolve((described[0] or b"").decode(), int(described[1]), asked)


def resolve(host: str, port: int, asked: Node) -> Node | None:
    """Return the node at an announced address: without a host the one that was asked; ``None`` if it is unknown."""
    if host == _UNKNOWN_HOST:
        return None
    return Node(host or asked.host, port)


def redirection(message: str, asked: Node) -> tuple[int, Node | None]:
    """Return slot and node of a MOVED or ASK reply, of which `message` is what follows the word.

    Raises:
        ValueError: it has another form.

    """
    slot, _, address = message.partition(" ")
    host, _, port = address.rpartition(":")
    return int(slot), resolve(host, int(port), asked)


class Topology:
    """The known nodes and their slots. Threads share it: a map is replaced as a whole, and a slot at a time.

    Attributes:
        clustered: False for one server, which has all slots.
        primaries: the primaries that have slots.
        replicas: the replicas of each primary.
        known: whether there is a map.
        generation: counts the maps.

    """

    def __init__(
        self,
        seeds: Sequence[Node],
        *,
        clustered: bool,
        now: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Take the nodes of the location.

        Args:
            seeds: the nodes of the location.
            clustered: whether they are nodes of a cluster.
            now: returns seconds of a monotonic clock.
            draw: returns a random number from 0 to 1.

        """
        self.clustered = clustered
        self.generation = 0
        self._seeds = tuple(seeds)
        self._now = now
        self._draw = draw
        self._lock = threading.Lock()
        self._due: float | None = None
        self._started = float("-inf")
        self._owners: list[Node | None] = [None] * SLOTS
        self._numbered: _Numbered | None = None  # made from the owners where it is needed
        self.primaries: tuple[Node, ...] = ()
        self.replicas: dict[Node, tuple[Node, ...]] = {}
        self.known = False
        if not clustered:
            self.learn([Shard(0, SLOTS - 1, self._seeds[0], ())])

    def owner(self, key: bytes) -> Node | None:
        """Return the primary of a key, ``None`` if it is not known."""
        return self._owners[slot_of(key)] if self.clustered else self.primaries[0]

    def grouped(self, keys: Iterable[bytes], tag: slice) -> dict[Node | None, list[int]]:
        """Return the primaries of keys, each with the positions of its keys; `tag` is where their hash tags lie.

        Primaries are numbered for it: to hash their addresses for each key would take half of the time.
        """
        primaries, numbers = self._numbered or self._number()
        groups: list[list[int]] = [[] for _ in primaries]
        for position, key in enumerate(keys):
            groups[numbers[crc_hqx(key[tag], 0) % SLOTS]].append(position)
        return {node: group for node, group in zip(primaries, groups, strict=True) if group}

    def _number(self) -> "_Numbered":
        """Return the primaries, ``None`` among them, and for each slot the number of its own."""
        owners = list(self._owners)
        primaries = tuple(dict.fromkeys(owners))
        number_of = {node: number for number, node in enumerate(primaries)}
        numbered = self._numbered = primaries, array("H", [number_of[node] for node in owners])
        return numbered

    def any_primary(self) -> Node | None:
        """Return a primary at random, ``None`` if none is known."""
        primaries = self.primaries
        return primaries[int(self._draw() * len(primaries)) % len(primaries)] if primaries else None

    def learn(self, shards: Iterable[Shard]) -> None:
        """Take a new map."""
        owners: list[Node | None] = [None] * SLOTS
        replicas: dict[Node, tuple[Node, ...]] = {}
        for shard in shards:
            owners[shard.first : shard.last + 1] = [shard.primary] * (shard.last + 1 - shard.first)
            if shard.primary is not None:
                replicas[shard.primary] = shard.replicas
        self._owners, self.replicas, self.primaries = owners, replicas, tuple(sorted(replicas))
        self._numbered = None
        self.known = True
        self.generation += 1

    def learn_from(self, reply: Any, asked: Node) -> bool:
        """Take a new map from a reply to CLUSTER SLOTS; return whether it was one."""
        try:
            shards = shards_in(reply, asked)
        except ValueError:
            return False
        self.learn(shards)
        return True

    def moved(self, slot: int, node: Node) -> None:
        """Take over where one slot is, from a MOVED reply."""
        self._owners[slot] = node
        self._numbered = None
        if node not in self.replicas:
            self.replicas = {**self.replicas, node: ()}
            self.primaries = tuple(sorted(self.replicas))
            self.generation += 1

    # When to refresh

    def doubt(self) -> None:
        """Note that the map may be old: have it refreshed soon."""
        if self.clustered and self._due is None:
            self._due = max(self._started + _MIN_INTERVAL, self._now()) + self._draw() * _JITTER

    @property
    def doubtful(self) -> bool:
        """Whether a refresh may be due."""
        return self._due is not None or not self.known

    def begin_refresh(self) -> bool:
        """Return whether the caller is to refresh the map now, as no other caller does for the next second."""
        with self._lock:
            now = self._now()
            if self.known and (self._due is None or now < self._due):
                return False
            self._started, self._due = now, None
            return True

    def leave_to_parent(self) -> None:
        """Replace the lock, which a thread of the parent process may hold."""
        self._lock = threading.Lock()

    def sources(self) -> list[Node]:
        """Return the nodes to ask for a map, in this order: known ones at random, then those of the location."""
        nodes = list(dict.fromkeys(chain(self.primaries, *self.replicas.values())))
        seeds = [node for node in self._seeds if node not in nodes]
        return [*self._shuffled(nodes), *self._shuffled(seeds)]

    def _shuffled(self, nodes: list[Node]) -> list[Node]:
        return [node for _, node in sorted((self._draw(), node) for node in nodes)]
