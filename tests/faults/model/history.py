"""Which states may be found after the death of anything, as a journal that outlives the process tells.

Every session has a key in its data, and a state says of each key what it identifies. The journal has an event before
each operation, with what it will change, and one after it, with the tokens it returned. So what may be there after the
death of anything is one of the states, and which ones is told by how much was begun, acknowledged and synced.
"""

import os
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import crudjt
from tests.faults.tally import Violation


class Facts(NamedTuple):
    """What a key stands for; `token` is ``None`` where nobody was told it."""

    value: int
    version: int
    reads_left: int | None
    subject: str
    token: str | None


State = dict[str, Facts]
Effect = dict[str, Facts | None]  # what changes; ``None`` where the session ends


class Begun(NamedTuple):
    """An operation is about to be called."""

    name: str
    effect: Effect


class Done(NamedTuple):
    """It has returned, or was refused. `synced` where all up to it is on disk."""

    effect: Effect
    synced: bool


Event = Begun | Done
Journal = Callable[[Event], object]


class FileJournal:
    """A journal that a kill does not lose, nor the end of the store's file system: it lies elsewhere."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)

    def __call__(self, event: Event) -> None:
        packed = pickle.dumps(event)
        os.write(self._descriptor, len(packed).to_bytes(4, "little") + packed)


def read_journal(path: Path) -> list[Event]:
    """Return the events of a process that may be dead."""
    content = path.read_bytes() if path.exists() else b""
    events = []
    at = 0
    while at + 4 <= len(content):
        end = at + 4 + int.from_bytes(content[at : at + 4], "little")
        if end > len(content):
            break
        events.append(pickle.loads(content[at + 4 : end]))
        at = end
    return events


class History:
    """The states that a journal tells of. State n is that after the n-th operation.

    Attributes:
        states: by number, from 0, when there was nothing.
        acknowledged: the number of the last operation that returned.
        synced: the number of the last that is on disk.
        tokens: every token that anybody was told.

    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.events = list(events)
        self.states: list[State] = [{}]
        self._refused: dict[int, State] = {}
        self.acknowledged = self.synced = 0
        self.tokens: set[str] = set()
        for event in self.events:
            if isinstance(event, Begun):
                self.states.append(applied(self.states[-1], event.effect))
                continue
            if not event.effect:
                self._refused[self.begun] = self.states[-1]
            self.states[-1] = applied(self.states[-2], event.effect)
            self.acknowledged = self.begun
            self.tokens |= {facts.token for facts in event.effect.values() if facts and facts.token}
            if event.synced:
                self.synced = self.acknowledged

    @property
    def begun(self) -> int:
        """The number of the last operation that was called."""
        return len(self.states) - 1

    def between(self, low: int, high: int, *, in_flight: bool = False) -> list[State]:
        """Return the states that may be there, the newest first; in flight, also what will be refused may."""
        refused = [self._refused[high]] if in_flight and high in self._refused else []
        return [*refused, *reversed(self.states[low : high + 1])]

    def found(self, seen: "Seen", states: Iterable[State]) -> State:
        """Return which of some states was found.

        Raises:
            Violation: none of them.

        """
        possible = list(states)
        for state in possible:
            if seen.shows(state):
                return state
        raise self._violation(possible, seen)

    def require(self, state: State, possible: list[State]) -> None:
        """Raise a `Violation` unless a state is one of some."""
        if state not in possible:
            raise self._violation(possible, state)

    def _violation(self, possible: list[State], found: object) -> Violation:
        return Violation(
            f"what is there is none of {len(possible)} states that may be",
            [*self.events, ("the newest that may be", possible[0]), ("found", found)],
        )


def applied(state: State, effect: Effect) -> State:
    """Return the state after an effect."""
    merged = {**state, **effect}
    return {key: facts for key, facts in merged.items() if facts is not None}


class Seen(NamedTuple):
    """What a store shows of the sessions of some subjects, and of some tokens."""

    sessions: dict[str, tuple[int, int, int | None, str]]
    alive: dict[str, str]  # key by token

    def shows(self, state: State) -> bool:
        """Tell whether this is a state: each session with its facts, each with its token, and no token besides."""
        return self.sessions == {key: facts[:4] for key, facts in state.items()} and self.alive == {
            facts.token: key for key, facts in state.items() if facts.token
        }


def subjects(name: str) -> tuple[str, str]:
    """Return the subjects of a workload."""
    return name, f"{name}/short"


def look(store: crudjt.Store, name: str, tokens: Iterable[str]) -> Seen:
    """Look at the sessions of a workload without changing anything."""
    sessions = {}
    for subject in subjects(name):
        for session in store.sessions(subject):
            sessions[session.data["k"]] = (session.data["v"], session.version, session.reads_left, subject)
    peeked = {token: store.peek(token) for token in tokens}
    return Seen(sessions, {token: session.data["k"] for token, session in peeked.items() if session is not None})


def check_count(store: crudjt.Store, sessions: int) -> None:
    """See that a store counts its sessions right."""
    counted = store.stats().sessions
    if counted != sessions:
        raise Violation(f"{counted} sessions are counted, {sessions} are there")
