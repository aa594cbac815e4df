"""The asyncio driver: runs the steps of operations over connections of its own to each node, in each event loop.

It keeps the rules of the blocking driver. A call that is cancelled closes the connections whose replies it has not
read.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, Any

from crudjt._backends.valkey.aio_link import AsyncLink
from crudjt._backends.valkey.aio_pool import AsyncPool, LoopState
from crudjt._backends.valkey.aio_shortcut import AsyncShortcut
from crudjt._backends.valkey.failures import LinkBroken, LinkTimedOut, Unreachable
from crudjt._backends.valkey.inspection import Inspector
from crudjt._backends.valkey.location import Servers
from crudjt._backends.valkey.packing import pack
from crudjt._backends.valkey.pool import POLLED_AFTER
from crudjt._backends.valkey.requests import Ask, Reply, Result, Steps, together
from crudjt._backends.valkey.routing import CLUSTER_SLOTS, SIDE_TRIP_SHARE, Batch, Step
from crudjt._backends.valkey.shortcut import Attempt
from crudjt._backends.valkey.tls import Tls
from crudjt._backends.valkey.topology import Topology
from crudjt._core import process_guard
from crudjt.errors import StoreClosed, StoreError

if TYPE_CHECKING:

    def timeout(_seconds: float, /) -> AbstractAsyncContextManager[object]:
        """Cancel what is within after so many seconds, and raise TimeoutError."""
        ...
elif sys.version_info >= (3, 11, 3):
    from asyncio import timeout
else:
    from async_timeout import timeout  # the client library requires it there

_MIN_LIMIT = 0.001  # seconds
_NO_CONNECTION = "cannot connect: no answer in time"


class _Trip:
    """A batch that was sent, the connection that its replies come from, and those that came."""

    __slots__ = ("batch", "link", "pool", "values")

    def __init__(self, batch: Batch, pool: AsyncPool, link: AsyncLink) -> None:
        self.batch = batch
        self.pool = pool
        self.link = link
        self.values: list[Any] = []

    def end(self, *, broken: bool) -> None:
        """Make the connection free again, or close it."""
        self.pool.put(self.link, broken=broken)


class AsyncConnections:
    """Connections to the servers of one store, in each event loop that uses it."""

    def __init__(self, servers: Servers, topology: Topology, inspector: Inspector | None = None) -> None:
        """Take the servers and what is known of them; without an inspector nothing is checked. Nothing is sent."""
        self.servers = servers
        self.topology = topology
        self.inspector = inspector
        self.closed = False
        self._tls = Tls(servers) if servers.tls else None
        self._shortcut = AsyncShortcut(topology, inspector)
        self._loops: dict[asyncio.AbstractEventLoop, LoopState] = {}
        self._of_parent: list[object] = []
        process_guard.guard(self)

    async def run(self, steps: Steps[Result], *, per_step: bool = False, limit: float | None = None) -> Result:
        """Carry out an operation and return its result; see `requests.Driver`."""
        if not process_guard.own_memory[0]:
            process_guard.renew()
        limit = self.servers.timeout if limit is None else limit
        take = self._shortcut.take
        try:
            asks = next(steps)
            deadline = time.monotonic() + limit  # from here: a large call takes its time to seal its records
            while True:
                try:
                    attempt = None if self.closed else await take(self._state().pools, asks, deadline)
                    if isinstance(attempt, list):
                        replies, lost = attempt, False
                    else:
                        replies, lost = await self._replies(asks, attempt, deadline)
                except StoreError as error:  # noqa: PERF203 - the operation decides what follows
                    deadline = time.monotonic() + limit
                    asks = steps.throw(error)
                else:
                    asks = steps.send(replies)
                    if per_step or lost:
                        deadline = time.monotonic() + limit
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            steps.close()

    async def close(self) -> None:
        """Disconnect permanently."""
        self.closed = True
        current = asyncio.get_running_loop()
        for loop, state in self._loops.items():
            if loop is current:
                state.close()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(state.close)
        self._loops = {}

    def leave_to_parent(self) -> None:
        """Forget the connections of the parent process.

        They are kept as they are: to close one here would end its registration in the event loop of the parent.
        """
        self._of_parent.append(self._loops)
        self._loops = {}
        self.topology.leave_to_parent()
        if self.inspector is not None:
            self.inspector.leave_to_parent()

    def _state(self) -> LoopState:
        loop = asyncio.get_running_loop()
        state = self._loops.get(loop)
        if state is None:
            self._loops = {each: known for each, known in self._loops.items() if not each.is_closed()}
            state = self._loops[loop] = LoopState()
        return state

    async def _replies(self, asks: Sequence[Ask], attempt: Attempt | None, deadline: float) -> tuple[list[Reply], bool]:
        """Return the replies to requests that go together, and whether one is `LOST`, after an attempt at them."""
        step = Step(asks, self.topology, self.servers.location)
        if attempt is not None:
            batch, values, error = attempt
            if isinstance(error, LinkTimedOut):
                step.timed_out(batch, values, self.servers.timeout)
            else:
                step.received(batch, values)
        await self._carry_out(step, deadline)
        return together(asks, step.result()), step.lost

    async def _carry_out(self, step: Step, deadline: float) -> None:
        """Send the requests of a step until each has a reply, or the time is over."""
        while step.open:
            if self.closed:
                raise StoreClosed
            pause = step.pause()
            if pause and time.monotonic() + pause >= deadline:
                return
            if pause:
                await asyncio.sleep(pause)
            if self.topology.doubtful:
                await self._refresh(deadline)
            now = time.monotonic()
            if self.inspector is not None and self.inspector.is_due(now):
                await self._inspect(self.inspector, now, deadline)
            batches = step.batches(deadline - now)
            if self.inspector is not None and self.inspector.blocked:
                batches = step.admit(batches, self.inspector.blocked)
            await self._exchange(step, batches, deadline)

    async def _exchange(self, step: Step, batches: Sequence[Batch], deadline: float) -> None:
        """Send each batch to its node, then receive the replies of each."""
        waiting = sorted(batches, reverse=True)  # in one order, so that no two calls wait for each other's connections
        sent: list[_Trip] = []
        try:
            async with timeout(max(deadline - time.monotonic(), _MIN_LIMIT)):
                while waiting:
                    await self._send(step, waiting[-1], sent)
                    waiting.pop()
                while sent:
                    await self._receive(step, sent)
        except (TimeoutError, asyncio.TimeoutError):
            for trip in sent:
                trip.end(broken=True)
                step.timed_out(trip.batch, trip.values, self.servers.timeout)
            for batch in waiting:
                if not any(trip.batch is batch for trip in sent):
                    step.not_sent(batch, _NO_CONNECTION)
        except BaseException:
            for trip in sent:
                trip.end(broken=True)
            raise

    async def _send(self, step: Step, batch: Batch, sent: list[_Trip]) -> None:
        try:
            trip = await self._begin(batch)
        except Unreachable as error:
            step.not_sent(batch, str(error))
            return
        except StoreError as error:
            step.failed(batch, error)
            return
        sent.append(trip)
        try:
            await trip.link.send(pack(batch.commands))
        except LinkBroken:
            sent.pop().end(broken=True)
            step.received(batch, ())

    async def _receive(self, step: Step, sent: list[_Trip]) -> None:
        """Receive the replies to the last batch of `sent`, and remove it there when its connection needs no care."""
        trip = sent[-1]
        try:
            await trip.link.receive(len(trip.batch.commands), trip.values)
        except LinkBroken:
            sent.pop().end(broken=True)
        else:
            sent.pop().end(broken=self.closed)
        step.received(trip.batch, trip.values)

    async def _begin(self, batch: Batch) -> _Trip:
        """Return a trip over a connection that no other task uses, and that the server is not known to have closed."""
        pools = self._state().pools
        pool = pools.get(batch.node)
        if pool is None:
            pool = pools[batch.node] = AsyncPool()
        await pool.gate.acquire()
        try:
            while pool.free:
                link = pool.free.pop()
                if time.monotonic() - link.used_at < POLLED_AFTER:
                    return _Trip(batch, pool, link)
                try:
                    ended = await link.has_ended()
                except BaseException:
                    link.close()
                    raise
                if not ended:
                    return _Trip(batch, pool, link)
                link.close()
            link = AsyncLink(self.servers, batch.node, None if self._tls is None else self._tls.context())
            await link.connect(self.servers, batch.node)
            return _Trip(batch, pool, link)
        except BaseException:
            pool.gate.release()
            raise

    async def _refresh(self, deadline: float) -> None:
        """Ask a random node for the map, unless another task does or it is too early. Wait if there is none yet."""
        lock = self._state().refreshing
        if lock.locked() and self.topology.known:
            return
        async with lock:
            if self.topology.doubtful and self.topology.begin_refresh():
                await self._ask_for_map(deadline)

    async def _ask_for_map(self, deadline: float) -> None:
        refusal: StoreError | None = None
        for node in self.topology.sources():
            if time.monotonic() >= deadline:
                break
            [outcome] = await self._once([Ask(None, CLUSTER_SLOTS, node=node)], deadline)
            if isinstance(outcome, StoreError):
                refusal = outcome
            elif self.topology.learn_from(outcome.value, node):
                self._state().keep(self.topology.sources())
                return
        self.topology.doubt()
        if refusal is not None and not self.topology.known:
            raise refusal

    async def _inspect(self, inspector: Inspector, now: float, deadline: float) -> None:
        """Check the primaries that need it. One that does not answer is left for later."""
        steps = inspector.begin(now)
        if steps is None:
            return
        with suppress(StopIteration):  # at once, where there is nothing to ask
            asks = next(steps)
            while True:
                asks = steps.send(await self._once(asks, deadline))

    async def _once(self, asks: Sequence[Ask], deadline: float) -> list[Reply | StoreError]:
        """Send requests once, and return what came of each."""
        now = time.monotonic()
        until = now + (deadline - now) * SIDE_TRIP_SHARE
        step = Step(asks, self.topology, self.servers.location)
        await self._exchange(step, step.batches(until - now), until)
        return step.outcomes()
