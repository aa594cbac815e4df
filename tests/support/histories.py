"""Checkers of whether the answers that many processes got fit together into one story.

Times are of `time.monotonic_ns`, taken just outside each call; the processes of a host share that clock.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

USED_UP = -1
UNKNOWN = -2

_FOREVER = 2**63


class Take(NamedTuple):
    """One read of a token with `max_reads`.

    `number` counts the successful reads from 0, by their ``reads_left``; `USED_UP` for an answer of ``None``; `UNKNOWN`
    where the reader was killed, and then `returned` is a time when it was surely dead.
    """

    invoked: int
    returned: int
    number: int


def contradiction(max_reads: int, takes: Iterable[Take]) -> str | None:
    """Return why no order of the reads explains their answers, or ``None`` where one does.

    An order explains them if it keeps to real time (who returned before another was invoked comes first), the
    successful reads come in the order of their numbers, all before the first "used up", and none of the `max_reads` is
    missing then. What a killed reader did is free: it took a number in its time, or did nothing.
    """
    known: dict[int, Take] = {}
    used_up, killed = [], []
    for take in takes:
        if take.number == USED_UP:
            used_up.append(take)
        elif take.number == UNKNOWN:
            killed.append(take)
        elif not 0 <= take.number < max_reads:
            return f"number {take.number} is not below {max_reads}"
        elif take.number in known:
            return f"number {take.number} was given twice"
        else:
            known[take.number] = take
    length = max_reads if used_up else max(known, default=-1) + 1
    ends_of_used_up = min((take.returned for take in used_up), default=_FOREVER)
    order = _with_killed(length, known, ends_of_used_up, killed)
    if order is None:
        return "a number is missing, and no killed reader can have taken it"
    latest_start = 0
    for number, take in enumerate(order):
        latest_start = max(latest_start, take.invoked)
        if take.returned < latest_start:
            return f"number {number} was returned before an earlier one was asked for"
    if ends_of_used_up < latest_start:
        return '"used up" was answered before a successful read was asked for'
    return None


def _with_killed(
    length: int, known: dict[int, Take], ends_of_used_up: int, killed: Sequence[Take]
) -> list[Take] | None:
    """Return the takes of the numbers below `length` in order, with killed readers in the gaps; ``None`` if one stays.

    A reader fits a gap that begins no later than the reader ended, and ends no earlier than it started. Both bounds
    grow with the number, so the reader that has to be placed soonest goes first.
    """
    starts = list(accumulate((known[n].invoked if n in known else 0 for n in range(length)), max, initial=0))[:length]
    ends = [known[n].returned if n in known else _FOREVER for n in range(length)]
    ends = list(accumulate(reversed([*ends[1:], ends_of_used_up]), min))[::-1]
    waiting = sorted(killed, key=lambda take: take.returned)
    order = []
    for number in range(length):
        if number in known:
            order.append(known[number])
            continue
        fitting = (take for take in waiting if take.invoked <= ends[number] and take.returned >= starts[number])
        chosen = next(fitting, None)
        if chosen is None:
            return None
        waiting.remove(chosen)
        order.append(chosen)
    return order


class Ledger:
    """What the journal of one process says, line by line, that it did to sessions of its own up to its death.

    Lines are ``["try", effect]`` and ``["rotate", key]`` before an operation, ``["done", tokens]`` after it; an effect
    says for each key what it will stand for, or ``None``. Limited reads of a shared token are ``["take", time]`` and
    ``["took", [time, number]]``.

    Attributes:
        contents: what every key stands for, by what was acknowledged.
        tried: the effect of the operation that was not acknowledged.
        doubtful: the keys that it was about: their tokens may be dead.
        tokens: the last known token of each key.
        retired: tokens that were acknowledged to be dead.
        takes: the limited reads.

    """

    def __init__(self, journal: bytes, died: int) -> None:
        self.contents: dict[str, Any] = {}
        self.tried: dict[str, Any] = {}
        self.doubtful: set[str] = set()
        self.tokens: dict[str, str] = {}
        self.retired: list[str] = []
        self.takes: list[Take] = []
        begun: int | None = None
        for line in journal.split(b"\n")[:-1]:
            kind, content = json.loads(line)
            if kind == "try":
                self.tried, self.doubtful = content, set(content)
            elif kind == "rotate":
                self.doubtful = {content}
            elif kind == "done":
                self._settle(content)
            elif kind == "take":
                begun = content
            else:
                assert begun is not None
                self.takes.append(Take(begun, *content))
                begun = None
        if begun is not None:
            self.takes.append(Take(begun, died, UNKNOWN))

    def _settle(self, tokens: dict[str, str]) -> None:
        for key, value in self.tried.items():
            if value is None:
                del self.contents[key]
                self.retired.append(self.tokens.pop(key))
            else:
                self.contents[key] = value
        for key, token in tokens.items():
            if key in self.tokens:
                self.retired.append(self.tokens[key])
            self.tokens[key] = token
        self.tried, self.doubtful = {}, set()

    def possible_contents(self) -> list[dict[str, Any]]:
        """Return what may be there: with all of the last operation, or with nothing of it."""
        merged = {**self.contents, **self.tried}
        return [self.contents, {key: value for key, value in merged.items() if value is not None}]
