"""Whether the answers of many processes, some of them killed, have an order that one process alone could have seen.

After Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with the memo of Lowe ("Testing for
Linearizability", 2017): operations are put in order one by one, each only among those that no other had ended before it
began; what was tried from the same set of operations and the same state is not tried again.
"""

from collections.abc import Sequence
from typing import NamedTuple

NEVER = 2**63
UNKNOWN = "unknown"
CONFLICT = "conflict"


class Call(NamedTuple):
    """One operation on a session that all share.

    Times are of `time.monotonic_ns`, taken just outside the call; `returned` is `NEVER` where the process was killed,
    and `answer` is `UNKNOWN` then. Tokens are numbers, in the order in which they became known.
    """

    invoked: int
    returned: int
    name: str
    argument: object
    answer: object


def by_time(call: Call) -> tuple[int, int]:
    """Order calls by when they began."""
    return call.invoked, call.returned


class SessionState(NamedTuple):
    """The session in a sequential model; `token` is ``None`` after its end, and `UNKNOWN` where nobody was told it."""

    token: object
    value: int
    version: int
    reads_left: int  # 0 for any number


def step(state: SessionState, call: Call) -> list[SessionState]:
    """Return the state after an operation with its answer; nothing if the answer is wrong there."""
    after, answer = perform(state, call)
    if call.answer in (UNKNOWN, answer):
        return [after]
    if call.name == "rotate" and answer == UNKNOWN and call.answer is not None:
        return [after._replace(token=call.answer)]
    return []


def perform(  # noqa: PLR0911 - one for each outcome
    state: SessionState, call: Call
) -> tuple[SessionState, object]:
    """Return what an operation does to the session, and what it answers."""
    ended = state._replace(token=None, value=0, version=0, reads_left=0)
    if call.name == "revoke":
        return ended, int(state.token is not None)
    token, value, version = call.argument if isinstance(call.argument, tuple) else (call.argument, 0, None)
    if state.token is None or token != state.token:
        return state, None if call.name in {"read", "peek", "rotate"} else False
    if call.name == "peek":
        return state, state[1:]
    if call.name == "read":
        if not state.reads_left:
            return state, state[1:]
        after = state._replace(reads_left=state.reads_left - 1)
        return after if after.reads_left else ended, after[1:]
    if call.name == "update":
        if version not in (None, state.version):
            return state, (CONFLICT, state.version)
        return state._replace(value=value, version=state.version + 1), True
    if call.name == "rotate":
        return state._replace(token=UNKNOWN), UNKNOWN
    assert call.name == "delete"
    return ended, True


def contradiction(initial: SessionState, calls: Sequence[Call]) -> list[Call] | None:
    """Return ``None`` where an order explains all answers, or the calls that the longest attempt could not place."""
    ordered = sorted(calls, key=by_time)
    certain = sum(1 << number for number, call in enumerate(ordered) if call.returned != NEVER)
    seen: set[tuple[int, SessionState]] = set()
    todo = [(0, initial)]
    best = 0
    while todo:
        placed, state = todo.pop()
        if placed & certain == certain:
            return None
        if (placed & certain).bit_count() > (best & certain).bit_count():
            best = placed
        for number in _next(ordered, placed):
            for after in step(state, ordered[number]):
                reached = (placed | 1 << number, after)
                if reached not in seen:
                    seen.add(reached)
                    todo.append(reached)
    return [call for number, call in enumerate(ordered) if not best >> number & 1]


def _next(ordered: Sequence[Call], placed: int) -> list[int]:
    """Return the operations that may come next: those that began before any other that is not placed had ended."""
    soonest = NEVER
    candidates = []
    start = (~placed & (placed + 1)).bit_length() - 1  # all before it are placed
    for number in range(start, len(ordered)):
        call = ordered[number]
        if call.invoked > soonest:
            break
        if not placed >> number & 1:
            candidates.append(number)
            soonest = min(soonest, call.returned)
    return [number for number in candidates if ordered[number].invoked <= soonest]
