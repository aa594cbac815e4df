"""The timed loops over one store, in two visits; the second is by a process that has seen none of the tokens.

Tokens are read, updated and deleted in the order of their creation, or in random order.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.payloads import Data, updated
from benchmarks.peers.interface import MAX_READS, Engine

SESSIONS_OF_A_SUBJECT = 100

Costs = dict[str, float]
Clock = Callable[[], int]


@dataclass(frozen=True)
class Visit:
    """How much is done, and with what; the clock returns nanoseconds."""

    data: Data
    count: int
    shuffle: bool = False
    limits: bool = False
    clock: Clock = time.perf_counter_ns


@contextmanager
def timing(costs: Costs, operation: str, count: int, clock: Clock) -> Iterator[None]:
    """Note what the block takes, in microseconds for each of its operations."""
    started = clock()
    yield
    costs[operation] = (clock() - started) / 1000 / count


def timed(
    costs: Costs,
    operation: str,
    call: Callable[[Any], Any] | None,
    arguments: list[Any],
    clock: Clock = time.perf_counter_ns,
) -> list[Any]:
    """Call once for each argument, note the cost, and return the results; without a call, do nothing."""
    if call is None:
        return []
    with timing(costs, operation, len(arguments), clock):
        return [call(argument) for argument in arguments]


def copies(tokens: list[str]) -> list[str]:
    """Return new strings, side by side in memory: a server too gets a token anew with every request.

    The very string that an engine keeps as a key would be found faster, and which one that is differs between peers.
    """
    return " ".join(tokens).split()


def choose(tokens: list[str], visit: Visit) -> list[str]:
    """Return the oldest tokens, or random ones."""
    return copies(random.sample(tokens, visit.count) if visit.shuffle else tokens[: visit.count])


def first_visit(engine: Engine, tokens: list[str], visit: Visit) -> tuple[Costs, list[str]]:
    """Time what needs no earlier process: create, read again what was just read, update; then limits, if asked for."""
    read, data_of, update = engine.read, engine.data_of, engine.update
    before, after = visit.data, updated(visit.data)
    costs: Costs = {}
    tokens = tokens + timed(costs, "create", engine.create, [before] * visit.count, visit.clock)
    chosen = choose(tokens, visit)
    assert all(data_of(read(token)) in (before, after) for token in chosen)
    chosen = copies(chosen)
    with timing(costs, "read, cached", visit.count, visit.clock):
        for token in chosen:
            data_of(read(token))
    if update is not None:
        with timing(costs, "update", visit.count, visit.clock):
            for token in chosen:
                update(token, after)
        assert all(data_of(read(token)) == after for token in chosen)
    if visit.limits:
        time_limits(engine, visit, costs)
    return costs, tokens


def time_limits(engine: Engine, visit: Visit, costs: Costs) -> None:
    """Time what sessions with a lifetime, a subject or a number of reads cost. The other loops do not see them."""
    expiring = timed(costs, "create, ttl", engine.create_expiring, [visit.data] * visit.count, visit.clock)
    if engine.rotate is not None:
        rotated = timed(costs, "rotate", engine.rotate, copies(expiring), visit.clock)
        assert all(rotated)
        assert not engine.read(expiring[0])
    if engine.create_limited is not None and engine.read_limited is not None:
        limited = [engine.create_limited(visit.data) for _ in range(-(-visit.count // MAX_READS))]
        results = timed(costs, "read, limited", engine.read_limited, copies(limited * MAX_READS), visit.clock)
        assert all(results)
        assert not any(engine.read_limited(token) for token in limited)
    if engine.create_owned is not None and engine.revoke is not None:
        create_owned = engine.create_owned
        subjects = [f"user {number}" for number in range(max(1, visit.count // SESSIONS_OF_A_SUBJECT))]
        # The sessions of one user do not come one after the other.
        owners = [subject for _ in range(SESSIONS_OF_A_SUBJECT) for subject in subjects]
        data = visit.data
        with timing(costs, "create, ttl and subject", len(owners), visit.clock):
            owned = [create_owned(data, owner) for owner in owners]
        assert engine.read(owned[0])
        timed(costs, f"revoke {SESSIONS_OF_A_SUBJECT} sessions", engine.revoke, subjects, visit.clock)
        assert not any(engine.read(token) for token in owned)


def second_visit(engine: Engine, tokens: list[str], visit: Visit) -> tuple[Costs, list[str]]:
    """Time what meets tokens of earlier processes: the first read of each, then its end."""
    read, data_of, delete = engine.read, engine.data_of, engine.delete
    costs: Costs = {}
    chosen = choose(tokens, visit)
    with timing(costs, "read, not cached", visit.count, visit.clock):
        for token in chosen:
            data_of(read(token))
    if delete is None:
        return costs, tokens
    with timing(costs, "delete", visit.count, visit.clock):
        for token in chosen:
            delete(token)
    assert not any(read(token) for token in chosen)
    ended = set(chosen)
    return costs, [token for token in tokens if token not in ended]


def fill(engine: Engine, tokens: list[str], visit: Visit) -> tuple[Costs, list[str]]:
    """Add tokens to the store, untimed."""
    create, data = engine.create, visit.data
    return {}, tokens + [create(data) for _ in range(visit.count)]


VISITS: dict[str, Callable[[Engine, list[str], Visit], tuple[Costs, list[str]]]] = {
    "fill": fill,
    "first visit": first_visit,
    "second visit": second_visit,
}
