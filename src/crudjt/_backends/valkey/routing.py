"""One step of an operation: which requests still need a reply, and where to send them. Pure: both drivers run it."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from crudjt._backends.valkey.packing import Command, command_of, wait_for
from crudjt._backends.valkey.replies import ErrorReply, Meaning, address, reason, store_error
from crudjt._backends.valkey.requests import LOST, PRIMARIES, Ask, Node, Reply
from crudjt._backends.valkey.topology import Topology, redirection
from crudjt.errors import StoreError, StoreInaccessible, StoreUnavailable

CLUSTER_SLOTS: Command = (b"CLUSTER", b"SLOTS")
SIDE_TRIP_SHARE = 0.5  # of the time that is left for a call: a node that is stuck must not use all of it

DRIVERS_OWN = -1

_ASKING: Command = (b"ASKING",)
_MAX_REDIRECTS = 4  # trips that follow a redirection at once; later ones wait for a pause
_MIN_PAUSE = 0.005  # seconds; doubled up to the next
_MAX_PAUSE = 0.1
_NOT_SENT = "the time for the call was over before anything was sent; is this process short of processor time?"
_NO_MAP = "no node of the cluster has answered"
_NO_OWNER = "no known node has the slot of the key"
_NO_ADDRESS = "it does not know the address of another node; set cluster-announce-ip or cluster-announce-hostname there"
_NOT_CHECKED = "its settings could not be checked yet"
_LOST_REPLY = "the connection was closed before the answer"


class Batch(NamedTuple):
    """Commands that one node gets in one trip.

    Attributes:
        node: the node.
        commands: the commands in order.
        asks: for each command the position of its request in the step; `DRIVERS_OWN` for a command of the driver.
        replicas: how many replicas the last command waits for; 0 if it is no WAIT.

    """

    node: Node
    commands: list[Command]
    asks: list[int]
    replicas: int


class Step:
    """The requests that an operation yielded together.

    Attributes:
        open: positions of the requests that need a reply.
        lost: whether `LOST` is among the replies.

    """

    def __init__(self, asks: Sequence[Ask], topology: Topology, location: str) -> None:
        """Take the requests. `location` is for errors."""
        self.open: list[int] = list(range(len(asks)))
        self.lost = False
        self._asks = list(asks)
        self._topology = topology
        self._location = location
        self._replies: list[Reply | None] = [None] * len(asks)
        self._errors: dict[int, StoreError] = {}
        self._problem = _NOT_SENT
        self._redirected: dict[int, Node] = {}
        self._with_text: set[int] = set()
        self._repeated: set[int] = set()
        self._trips = 0
        self._pauses = 0
        self._must_pause = False

    def batches(self, left: float) -> list[Batch]:
        """Return what to send now, for each node; `left` is how many seconds remain.

        A request whose node is not known stays open.
        """
        self._trips += 1
        groups: dict[Node, list[int]] = {}
        for position in self.open:
            ask = self._asks[position]
            if ask is PRIMARIES:
                self._replies[position] = Reply(list(self._topology.primaries))
                continue
            node = self._redirected.get(position) or ask.node
            if node is None:
                node = self._topology.any_primary() if ask.key is None else self._topology.owner(ask.key)
            if node is None:
                self._problem = _NO_OWNER if self._topology.known else _NO_MAP
                self._doubt()
            else:
                groups.setdefault(node, []).append(position)
        self._close_answered()
        return [self._batch(node, positions, left) for node, positions in groups.items()]

    def _batch(self, node: Node, positions: list[int], left: float) -> Batch:
        commands: list[Command] = []
        asks: list[int] = []
        replicas = 0
        for position in positions:
            ask = self._asks[position]
            if position in self._redirected:
                del self._redirected[position]
                commands.append(_ASKING)
                asks.append(DRIVERS_OWN)
            if ask.script is not None and position in self._with_text:
                commands.append((b"EVAL", ask.script.text, *ask.args))
            else:
                commands.append(command_of(ask))
            asks.append(position)
            replicas = max(replicas, ask.replicas)
        if replicas:
            commands.append(wait_for(replicas, left))
            asks.append(DRIVERS_OWN)
        return Batch(node, commands, asks, replicas)

    def admit(self, batches: Sequence[Batch], blocked: Mapping[Node, StoreError | None]) -> list[Batch]:
        """Return the batches for nodes that may be used. `blocked` has the others, with the reason if it is known."""
        for batch in batches:
            if batch.node in blocked:
                reason = blocked[batch.node]
                if reason is None:
                    self.not_sent(batch, _NOT_CHECKED)
                elif isinstance(reason, StoreUnavailable):
                    self.not_sent(batch, reason.reason.partition(": ")[2])
                else:
                    self.failed(batch, reason)
        return [batch for batch in batches if batch.node not in blocked]

    def received(self, batch: Batch, values: Sequence[Any]) -> None:
        """Take the replies to a batch. Those that are missing at the end are lost."""
        complete = len(values) == len(batch.commands)
        acknowledged = values[-1] if batch.replicas and complete else 0
        for position, value in zip(batch.asks, values, strict=False):
            if position < 0:
                continue
            if isinstance(value, ErrorReply):
                self._refused(position, value, batch.node)
            elif not self._asks[position].replicas:
                self._replies[position] = Reply(value, 0, position in self._repeated)
            elif not complete:
                self._lose(position)
            elif isinstance(acknowledged, ErrorReply) and acknowledged.meaning is Meaning.DENIED:
                self._fail(position, store_error(acknowledged, batch.node, self._location))
            else:
                # An error here means that the node has become a replica.
                count = acknowledged if isinstance(acknowledged, int) else 0
                self._replies[position] = Reply(value, count, position in self._repeated)
        if not complete:
            self._problem = f"{address(batch.node)}: {_LOST_REPLY}"
            self._topology.doubt()
            for position in batch.asks[len(values) :]:
                if position >= 0:
                    self._lose(position)
        self._close_answered()

    def timed_out(self, batch: Batch, values: Sequence[Any], after: float) -> None:
        """Take the replies to a batch whose others did not come within `after` seconds."""
        self.received(batch, values)
        self._problem = f"{address(batch.node)}: no answer within {after:.2g} s"

    def not_sent(self, batch: Batch, problem: str) -> None:
        """Note that a batch was surely not carried out, since there was no connection."""
        self._problem = f"{address(batch.node)}: {problem}"
        self._doubt()

    def failed(self, batch: Batch, error: StoreError) -> None:
        """Note that a batch was surely not carried out, and will not be."""
        for position in batch.asks:
            if position >= 0:
                self._fail(position, error)
        self._close_answered()

    def pause(self) -> float:
        """Return how many seconds to wait before the open requests are sent again."""
        if not self._must_pause:
            return 0.0
        self._must_pause = False
        self._pauses += 1
        return min(_MAX_PAUSE, _MIN_PAUSE * 2.0**self._pauses) * (0.5 + random.random())  # noqa: S311 - spreads load

    def result(self) -> list[Reply]:
        """Return the replies in the order of the requests.

        Raises:
            StoreError: the first error; `StoreUnavailable` if requests are still open.

        """
        for error in self._errors.values():
            raise error
        replies = [reply for reply in self._replies if reply is not None]
        if len(replies) < len(self._replies):
            raise self._unavailable()
        return replies

    def outcomes(self) -> list[Reply | StoreError]:
        """Return a reply or an error for each request, in their order."""
        return [
            self._errors.get(position) or reply or self._unavailable() for position, reply in enumerate(self._replies)
        ]

    def _unavailable(self) -> StoreUnavailable:
        return StoreUnavailable(self._location, self._problem)

    def _refused(self, position: int, error: ErrorReply, node: Node) -> None:
        meaning = error.meaning
        if meaning is Meaning.UNKNOWN_SCRIPT and self._asks[position].script and position not in self._with_text:
            self._with_text.add(position)
        elif meaning in (Meaning.MOVED, Meaning.ASK):
            self._redirect(position, error, node)
        elif meaning in (Meaning.LATER, Meaning.STALE_MAP):
            self._problem = f"{address(node)}: {reason(error)}"
            self._must_pause = True
            if meaning is Meaning.STALE_MAP:
                self._doubt()
        else:
            self._fail(position, store_error(error, node, self._location))

    def _redirect(self, position: int, error: ErrorReply, node: Node) -> None:
        if not self._topology.clustered:
            text = f"{address(node)}: it is a node of a cluster; open it with valkey+cluster:// or valkeys+cluster://"
            self._fail(position, StoreInaccessible(self._location, text))
            return
        self._must_pause |= self._trips > _MAX_REDIRECTS
        try:
            slot, target = redirection(error.text, node)
        except ValueError:
            self._fail(position, store_error(error, node, self._location))
            return
        if target is None:
            self._problem = f"{address(node)}: {_NO_ADDRESS}"
            self._doubt()
        elif error.meaning is Meaning.ASK:
            self._redirected[position] = target
        else:
            self._topology.moved(slot, target)
            self._topology.doubt()

    def _lose(self, position: int) -> None:
        if self._asks[position].repeat:
            self._repeated.add(position)
            self._must_pause = True
        else:
            self._replies[position] = Reply(LOST)
            self.lost = True

    def _fail(self, position: int, error: StoreError) -> None:
        self._errors[position] = error
        self._replies[position] = Reply(None)

    def _doubt(self) -> None:
        self._topology.doubt()
        self._must_pause = True

    def _close_answered(self) -> None:
        self.open = [position for position in self.open if self._replies[position] is None]
