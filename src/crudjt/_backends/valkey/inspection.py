"""Checks each primary before it is used, at open and when it becomes one, and keeps the clock of the store."""

import logging
import threading
from base64 import urlsafe_b64encode
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import cast

from crudjt._backends.valkey import checks
from crudjt._backends.valkey.cluster_clock import ClusterClock, local_ns
from crudjt._backends.valkey.location import Servers
from crudjt._backends.valkey.replies import address
from crudjt._backends.valkey.requests import Ask, Node, Reply
from crudjt._backends.valkey.topology import Topology
from crudjt.errors import StoreError, StoreInaccessible, StoreUnavailable

logger = logging.getLogger("crudjt")

_INTERVAL = 60.0  # seconds between two samples of the clocks
_RETRY = 1.0  # seconds until a primary that is not usable is looked at again
_TAG_BYTES = 3  # of a hash tag, in Base64 four characters

Outcome = Reply | StoreError
Inspection = Generator[Sequence[Ask], list[Outcome], None]
"""Steps that a driver tries once; the outcome of a request may be an error."""


class Inspector:
    """The known state of the primaries of one store. Threads and event loops share it.

    Attributes:
        blocked: primaries that must not be used, with the reason; `StoreUnavailable`, or ``None``, for one that could
            not be checked yet.
        replicas: how many replicas must acknowledge a change that must not be lost. Known when a call has returned.

    """

    def __init__(
        self, servers: Servers, topology: Topology, clock: ClusterClock | None, *, replicas: int | None, full: bool
    ) -> None:
        """Take what is inspected, and the rules.

        Args:
            servers: the servers of the store.
            topology: what is known of them.
            clock: the clock that is set by theirs; ``None`` if the store has another.
            replicas: how many replicas each primary must have at open; ``None`` for the smallest number that any has,
                but at least 1.
            full: whether each change must be on disk when it is acknowledged.

        """
        self.blocked: dict[Node, StoreInaccessible | StoreUnavailable | None] = {}
        self.replicas = 0 if replicas is None else replicas
        self._location = servers.location
        self._namespace = servers.namespace.encode()
        self._topology = topology
        self._clock = clock
        self._wanted = replicas
        self._rules = checks.Rules(servers.clustered, full, servers.assume)
        self._passed: frozenset[Node] = frozenset()
        self._wrong_clocks: dict[Node, StoreInaccessible] = {}
        self._opened = False
        self._generation = -1
        self._next = 0.0
        self._lock = threading.Lock()

    def is_due(self, now: float) -> bool:
        """Return whether there is something to inspect; `now` is in seconds of the monotonic clock."""
        return now >= self._next or self._generation != self._topology.generation

    def begin(self, now: float) -> Inspection | None:
        """Return the steps of an inspection, unless another caller has begun it. Until it ends, new primaries wait.

        The steps raise `StoreInaccessible` if a primary is refused before the store was ever used.
        """
        with self._lock:
            if not (self._topology.known and self.is_due(now)):
                return None
            is_time = now >= self._next
            self._generation = self._topology.generation
            primaries = self._topology.primaries
            new = [node for node in primaries if node not in self._passed]
            self.blocked = {**{node: self.blocked.get(node) for node in new}, **self._wrong_clocks}
            if not (new or is_time):
                return None
            self._next = now + _RETRY  # also if the inspection is interrupted
            return self._steps(new, primaries, now)

    def leave_to_parent(self) -> None:
        """Replace the lock, which a thread of the parent process may hold."""
        self._lock = threading.Lock()

    def _steps(self, new: Sequence[Node], primaries: Sequence[Node], now: float) -> Inspection:
        if new:
            outcomes = yield [ask for node in new for ask in self._questions(node)]
            each = len(outcomes) // len(new)
            answers = {node: outcomes[each * at : each * (at + 1)] for at, node in enumerate(new)}
            self._judge(answers)
        if self._clock is not None:
            before = local_ns()
            outcomes = yield [Ask(None, (b"TIME",), node=node) for node in primaries]
            self._set_clock(self._clock, dict(zip(primaries, outcomes, strict=True)), before, local_ns())
        self._conclude(primaries)
        if not self.blocked:
            self._next = now + _INTERVAL

    def _questions(self, node: Node) -> list[Ask]:
        return [
            Ask(None, (b"INFO",), node=node),
            Ask(None, (b"CONFIG", b"GET", b"appendfsync"), node=node),
            Ask(None, (b"EVAL", checks.RIGHTS, 1, self._key_at(node)), node=node),
            Ask(None, (b"WAIT", 0, 1), node=node),
        ]

    def _key_at(self, node: Node) -> bytes:
        """Return a key that a primary has the slot of."""
        for number in range(2 ** (8 * _TAG_BYTES)):
            tag = urlsafe_b64encode(number.to_bytes(_TAG_BYTES, "big"))
            key = b"%b:{%b}probe" % (self._namespace, tag)
            if self._topology.owner(key) == node:
                return key
        return self._namespace + b":probe"  # it has no slots any more

    def _judge(self, answers: Mapping[Node, Sequence[Outcome]]) -> None:
        known = {node: info for node, outcomes in answers.items() if (info := self._info(outcomes[0])) is not None}
        self._count_replicas(known)
        noted: dict[str, list[str]] = {}
        for node, info in known.items():
            _, setting, rights, waiting = answers[node]
            appendfsync = _setting(setting)
            found = checks.problems(info, appendfsync, self._rules)
            found += _missing_rights(rights, waiting if self.replicas else rights)
            if not self._opened and (few := checks.too_few_replicas(_replicas(info, self.replicas), self.replicas)):
                found.append(few)
            if found:
                self.blocked[node] = self._refusal(node, found[0])
                continue
            self._passed |= {node}
            for each in checks.warnings(info, appendfsync, self._rules, self.replicas):
                noted.setdefault(each, []).append(address(node))
            if count := checks.evicted(info):
                logger.error(
                    "%s: %s: it has evicted %d keys, which may be sessions", self._location, address(node), count
                )
        for text, nodes in noted.items():
            logger.warning("%s: %s: %s", self._location, ", ".join(nodes), text)
        for node, outcomes in answers.items():
            if isinstance(outcomes[0], StoreInaccessible | StoreUnavailable) and node not in known:
                self.blocked[node] = outcomes[0]

    def _info(self, outcome: Outcome) -> dict[str, str] | None:
        """Return the fields of INFO, none if it need not be seen; ``None`` if the node cannot be judged now."""
        if isinstance(outcome, StoreInaccessible) and {"noeviction", "aof"} <= set(self._rules.assume):
            return {}
        if isinstance(outcome, StoreError):
            return None
        info = checks.fields(cast("bytes", outcome.value))
        if info.get("loading") == "1" or (self._rules.clustered and info.get("role") == "slave"):
            self._topology.doubt()
            return None
        return info

    def _count_replicas(self, known: Mapping[Node, Mapping[str, str]]) -> None:
        if not self._opened and self._wanted is None and known:
            self.replicas = max(1, min(_replicas(info, 1) for info in known.values()))

    def _set_clock(self, clock: ClusterClock, outcomes: Mapping[Node, Outcome], before: int, after: int) -> None:
        for node, outcome in outcomes.items():
            if isinstance(outcome, Reply):
                seconds, microseconds = cast("tuple[bytes, bytes]", outcome.value)
                clock.sample(node, int(seconds), int(microseconds), before, after)
        self._wrong_clocks = {node: each for node, each in outcomes.items() if isinstance(each, StoreInaccessible)}
        for node, difference in clock.settle(outcomes).items():
            text = f"its clock differs by {difference:+.1f} s from the other primaries; set it by NTP"
            if abs(difference) > checks.MAX_CLOCK_DIFFERENCE:
                self._wrong_clocks[node] = self._refusal(node, text)
            elif abs(difference) > checks.NOTED_CLOCK_DIFFERENCE:
                logger.warning("%s: %s: %s", self._location, address(node), text)

    def _conclude(self, primaries: Iterable[Node]) -> None:
        waiting = {node: reason for node, reason in self.blocked.items() if node not in self._passed}
        self.blocked = {**waiting, **self._wrong_clocks}
        self._passed = self._passed.intersection(primaries)  # one that comes back is checked again
        refusals = [reason for reason in self.blocked.values() if isinstance(reason, StoreInaccessible)]
        if not self._opened and refusals:
            raise refusals[0]
        self._opened = self._opened or bool(self._passed)

    def _refusal(self, node: Node, text: str) -> StoreInaccessible:
        return StoreInaccessible(self._location, f"{address(node)}: {text}")


def _replicas(info: Mapping[str, str], otherwise: int) -> int:
    return int(info.get("connected_slaves", otherwise))


def _setting(outcome: Outcome) -> str | None:
    """Return the value in a reply to CONFIG GET, ``None`` if it was refused."""
    if isinstance(outcome, StoreError):
        return None
    found = cast("list[bytes]", outcome.value)
    return found[1].decode() if len(found) > 1 else None


def _missing_rights(script: Outcome, waiting: Outcome) -> list[str]:
    for outcome in (script, waiting):
        if isinstance(outcome, StoreInaccessible):
            return [outcome.reason.partition(": ")[2]]
    names = [name.decode() for name in cast("list[bytes]", script.value)] if isinstance(script, Reply) else []
    if not names:
        return []
    rights = " ".join(f"+{name}" for name in names)
    return [f"the user lacks rights within scripts; grant them with: ACL SETUSER … {rights}"]
