"""The blocking driver: runs the steps of operations over connections of its own to each node.

Of the client library only the classes of single connections are used, and nothing is retried there. A connection from
which not every reply was read is closed, whatever the reason, so that no reply is ever read for another request.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from crudjt._backends.valkey.failures import LinkBroken, LinkTimedOut, Unreachable
from crudjt._backends.valkey.inspection import Inspector
from crudjt._backends.valkey.link import MIN_LIMIT, Link
from crudjt._backends.valkey.location import Servers
from crudjt._backends.valkey.packing import pack
from crudjt._backends.valkey.pool import Pool
from crudjt._backends.valkey.requests import Ask, Node, Reply, Result, Steps, together
from crudjt._backends.valkey.routing import CLUSTER_SLOTS, SIDE_TRIP_SHARE, Batch, Step
from crudjt._backends.valkey.shortcut import Attempt, Shortcut
from crudjt._backends.valkey.tls import Tls
from crudjt._backends.valkey.topology import Topology
from crudjt._core import process_guard
from crudjt.errors import StoreClosed, StoreError


class Connections:
    """Connections to the servers of one store. Threads share it; each connection has one user at a time."""

    def __init__(self, servers: Servers, topology: Topology, inspector: Inspector | None = None) -> None:
        """Take the servers and what is known of them; without an inspector nothing is checked. Nothing is sent."""
        self.servers = servers
        self.topology = topology
        self.inspector = inspector
        self.closed = False
        self._tls = Tls(servers) if servers.tls else None
        self._pool = Pool()
        self._shortcut = Shortcut(topology, inspector)
        self._refreshing = threading.Lock()
        process_guard.guard(self)

    def run(self, steps: Steps[Result], *, per_step: bool = False, limit: float | None = None) -> Result:
        """Carry out an operation and return its result; see `requests.Driver`."""
        if not process_guard.own_memory[0]:
            process_guard.renew()
        timeout = self.servers.timeout if limit is None else limit
        try:
            take = self._shortcut.take
            asks = next(steps)
            deadline = time.monotonic() + timeout  # from here: a large call takes its time to seal its records
            while True:
                try:
                    attempt = take(self._pool, asks, deadline)
                    if isinstance(attempt, list):
                        replies, lost = attempt, False
                    else:
                        replies, lost = self._replies(asks, attempt, deadline)
                except StoreError as error:  # noqa: PERF203 - the operation decides what follows
                    deadline = time.monotonic() + timeout
                    asks = steps.throw(error)
                else:
                    asks = steps.send(replies)
                    if per_step or lost:
                        deadline = time.monotonic() + timeout
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            steps.close()

    def close(self) -> None:
        """Disconnect permanently."""
        self.closed = True
        self._pool.close()

    def leave_to_parent(self) -> None:
        """Forget the connections and locks of the parent process."""
        self._pool = Pool(closed=self.closed)
        self._refreshing = threading.Lock()
        self.topology.leave_to_parent()
        if self.inspector is not None:
            self.inspector.leave_to_parent()

    def _replies(self, asks: Sequence[Ask], attempt: Attempt | None, deadline: float) -> tuple[list[Reply], bool]:
        """Return the replies to requests that go together, and whether one is `LOST`, after an attempt at them."""
        step = Step(asks, self.topology, self.servers.location)
        if attempt is not None:
            self._take(step, *attempt)
        self._carry_out(step, deadline)
        return together(asks, step.result()), step.lost

    def _carry_out(self, step: Step, deadline: float) -> None:
        """Send the requests of a step until each has a reply, or the time is over."""
        while step.open:
            if self.closed:
                raise StoreClosed
            pause = step.pause()
            now = time.monotonic()
            if now + pause >= deadline:
                return
            if pause:
                time.sleep(pause)
            if self.topology.doubtful:
                self._refresh(deadline)
            now = time.monotonic()
            if self.inspector is not None and self.inspector.is_due(now):
                self._inspect(self.inspector, now, deadline)
            batches = step.batches(deadline - now)
            if self.inspector is not None and self.inspector.blocked:
                batches = step.admit(batches, self.inspector.blocked)
            self._exchange(step, batches, deadline)

    def _take(self, step: Step, batch: Batch, values: Sequence[Any], error: LinkBroken | None) -> None:
        if isinstance(error, LinkTimedOut):
            step.timed_out(batch, values, self.servers.timeout)
        else:
            step.received(batch, values)

    def _exchange(self, step: Step, batches: Sequence[Batch], deadline: float) -> None:
        """Send each batch to its node, then receive the replies of each."""
        sent: list[tuple[Batch, Link]] = []
        try:
            for batch in batches:
                self._send(step, batch, deadline, sent)
            while sent:
                self._receive(step, sent)
        except BaseException:
            for _, link in sent:
                link.close()
            raise

    def _send(self, step: Step, batch: Batch, deadline: float, sent: list[tuple[Batch, Link]]) -> None:
        try:
            link = self._link(batch.node, deadline)
        except Unreachable as error:
            step.not_sent(batch, str(error))
            return
        except StoreError as error:
            step.failed(batch, error)
            return
        sent.append((batch, link))
        try:
            link.send(pack(batch.commands), deadline - time.monotonic())
        except LinkBroken:
            sent.pop()
            link.close()
            step.received(batch, ())

    def _receive(self, step: Step, sent: list[tuple[Batch, Link]]) -> None:
        """Receive the replies to the last batch of `sent`, and remove it there when its connection needs no care."""
        batch, link = sent[-1]
        values: list[Any] = []
        try:
            link.receive(len(batch.commands), values)
        except LinkBroken as error:
            link.close()
            sent.pop()
            self._take(step, batch, values, error)
        else:
            sent.pop()
            self._pool.put(batch.node, link)
            step.received(batch, values)

    def _link(self, node: Node, deadline: float) -> Link:
        """Return a free connection, or a new one."""
        link = self._pool.take(node)
        if link is not None:
            return link
        context = None if self._tls is None else self._tls.context()
        return Link(self.servers, node, max(deadline - time.monotonic(), MIN_LIMIT), context)

    def _refresh(self, deadline: float) -> None:
        """Ask a random node for the map, unless another thread does or it is too early. Wait if there is none yet."""
        lock, known = self._refreshing, self.topology.known
        if not (lock.acquire(blocking=False) if known else lock.acquire(timeout=max(deadline - time.monotonic(), 0.0))):
            return
        try:
            if self.topology.doubtful and self.topology.begin_refresh():
                self._ask_for_map(deadline)
        finally:
            lock.release()

    def _ask_for_map(self, deadline: float) -> None:
        refusal: StoreError | None = None
        for node in self.topology.sources():
            if time.monotonic() >= deadline:
                break
            [outcome] = self._once([Ask(None, CLUSTER_SLOTS, node=node)], deadline)
            if isinstance(outcome, StoreError):
                refusal = outcome
            elif self.topology.learn_from(outcome.value, node):
                self._pool.keep(self.topology.sources())
                return
        self.topology.doubt()
        if refusal is not None and not self.topology.known:
            raise refusal

    def _inspect(self, inspector: Inspector, now: float, deadline: float) -> None:
        """Check the primaries that need it. One that does not answer is left for later."""
        steps = inspector.begin(now)
        if steps is None:
            return
        with suppress(StopIteration):  # at once, where there is nothing to ask
            asks = next(steps)
            while True:
                asks = steps.send(self._once(asks, deadline))

    def _once(self, asks: Sequence[Ask], deadline: float) -> list[Reply | StoreError]:
        """Send requests once, and return what came of each."""
        now = time.monotonic()
        until = now + (deadline - now) * SIDE_TRIP_SHARE
        step = Step(asks, self.topology, self.servers.location)
        self._exchange(step, step.batches(until - now), until)
        return step.outcomes()
