"""A process's life with a store: random operations, a model of what they do, and a journal that outlives the process.

Every session has a key in its data, and a state says of each key what it stands for. The journal has an event before
each operation, with what it will change, and one after it, with the tokens it returned. So what may be there after the
death of anything is one of the states, and which ones is told by how much was begun, acknowledged and synced.
"""

import os
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import crudjt
from tests.faults.tally import Violation
from tests.support.embedded import commits_failing, compact, disk_has_failed

QUIET = 3600.0  # a sync interval at which the caretaker never comes
MOST_SESSIONS = 30
TAKE = "limited read"
REFUSED = "refused"  # the operation that may be there if all dies in its midst, and not later


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


class Workload:
    """Random operations on sessions that nobody else touches."""

    def __init__(
        self,
        store: crudjt.Store,
        random: Random,
        journal: Journal,
        name: str = "w",
        *,
        full: bool = False,
        tolerant: bool = False,
    ) -> None:
        """Work on an open store; `full` is its durability, and `tolerant` goes on after an operation was refused."""
        self.store = store
        self.random = random
        self.journal = journal
        self.name = name
        self.state: State = {}
        self.operations = 0
        self.full = full
        self._tolerant = tolerant
        self._count = 0
        self._dead: list[str] = []
        self.actions: list[Callable[[], None]] = [
            self.create, self.create, self.create, self.create_many, self.update, self.update, self.update_version,
            self.touch, self.rotate, self.rotate, self.delete, self.delete_many, self.take, self.take, self.read,
            self.revoke, self.revoke_id, self.sync, self.sweep, self.compact, self.be_refused,
        ]  # fmt: skip

    def run(self, count: int) -> None:
        for _ in range(count):
            self.step()

    def step(self) -> None:
        """Do one thing."""
        self.random.choice([self.delete, self.revoke] if len(self.state) > MOST_SESSIONS else self.actions)()

    def perform(self, name: str, effect: Effect, call: Callable[[], Any], expected: object) -> Any:
        """Call the store, note it before and after, and see that it answers what it must."""
        self.journal(Begun(name, effect))
        self.operations += 1
        try:
            result = call()
        except (crudjt.StoreFull, crudjt.StoreFailed):
            if not self._tolerant or disk_has_failed(self.store):
                raise
            self.journal(Done({}, synced=False))
            return None
        if expected is not ANY and result != expected:
            raise Violation(f"{name} answered {result!r} instead of {expected!r}", [(name, effect)])
        if name == REFUSED:
            effect = {}
        tokens = [result] if isinstance(result, str) else result if isinstance(result, list) else []
        if tokens:
            named = zip((key for key, facts in effect.items() if facts), tokens, strict=True)
            for key, token in named:
                facts = effect[key]
                assert facts
                effect = {**effect, key: facts._replace(token=token)}
        for key, facts in effect.items():
            before = self.state.get(key)
            if before and before.token and (facts is None or facts.token != before.token):
                self._dead.append(before.token)
        self.journal(Done(effect, synced=self.full or name == "sync"))
        self.state = applied(self.state, effect)
        return result

    def _new(self, reads: int | None = None) -> tuple[str, Facts]:
        self._count += 1
        return f"{self.name}-{self._count}", Facts(0, 1, reads, self.random.choice(subjects(self.name)), None)

    def _any(self) -> str | None:
        return self.random.choice(sorted(self.state)) if self.state else None

    def _data(self, key: str, value: int) -> dict[str, Any]:
        return {"k": key, "v": value, "x": bytes(self.random.choice([0, 0, 20, 20, 20, 500, 3000]))}

    def _token(self, key: str) -> str:
        token = self.state[key].token
        assert token
        return token

    def create(self) -> None:
        key, facts = self._new(self.random.choice([None, None, 1, 2, 5]))
        ttl = self.random.choice([None, 3600])
        self.perform(
            "create",
            {key: facts},
            lambda: self.store.create(self._data(key, 0), ttl=ttl, max_reads=facts.reads_left, subject=facts.subject),
            ANY,
        )

    def create_many(self) -> None:
        subject = self.random.choice(subjects(self.name))
        effect: Effect = {}
        for _ in range(self.random.randint(2, 4)):
            key, facts = self._new()
            effect[key] = facts._replace(subject=subject)
        self.perform(
            "create_many",
            effect,
            lambda: self.store.create_many([self._data(key, 0) for key in effect], subject=subject),
            ANY,
        )

    def update(self) -> None:
        if key := self._any():
            facts = self.state[key]
            self._count += 1
            after = facts._replace(value=self._count, version=facts.version + 1)
            data = self._data(key, after.value)
            self.perform("update", {key: after}, lambda: self.store.update(self._token(key), data), True)

    def update_version(self) -> None:
        """Update with the version that is there, or with one that is not."""
        if key := self._any():
            facts = self.state[key]
            self._count += 1
            right = self.random.random() < 0.7
            after = facts._replace(value=self._count, version=facts.version + 1)
            version = facts.version + (not right)

            def call() -> bool:
                try:
                    return self.store.update(self._token(key), self._data(key, after.value), if_version=version)
                except crudjt.VersionConflict:
                    return False

            self.perform("update if_version", {key: after} if right else {}, call, right)

    def touch(self) -> None:
        if key := self._any():
            self.perform("touch", {}, lambda: self.store.touch(self._token(key), ttl=7200), True)

    def rotate(self) -> None:
        if key := self._any():
            after = self.state[key]._replace(token=None)
            self.perform("rotate", {key: after}, lambda: self.store.rotate(self._token(key)), ANY)

    def delete(self) -> None:
        if key := self._any():
            self.perform("delete", {key: None}, lambda: self.store.delete(self._token(key)), True)

    def delete_many(self) -> None:
        keys = self.random.sample(sorted(self.state), min(3, len(self.state)))
        if keys:
            tokens = [self._token(key) for key in keys]
            effect: Effect = dict.fromkeys(keys)
            self.perform("delete_many", effect, lambda: self.store.delete_many(tokens), len(keys))

    def take(self) -> None:
        """Read a session that is good for a limited number of reads."""
        limited = [key for key, facts in sorted(self.state.items()) if facts.reads_left]
        if limited:
            key = self.random.choice(limited)
            facts = self.state[key]
            left = (facts.reads_left or 0) - 1
            effect: Effect = {key: facts._replace(reads_left=left) if left else None}

            def call() -> int | None:
                session = self.store.read(self._token(key))
                return None if session is None else session.reads_left

            self.perform(TAKE, effect, call, left)

    def read(self) -> None:
        """Read what is not limited, twice, so that the second comes from the cache; and what is dead."""
        for key, facts in self.state.items():
            if not facts.reads_left and facts.token:
                for _ in range(2):
                    session = self.store.read(facts.token)
                    seen = session and (session.data["v"], session.version)
                    if seen != facts[:2]:
                        raise Violation(f"read answered {seen} instead of {facts[:2]}", [key, facts])
        for token in self._dead[-10:]:
            if self.store.read(token) is not None:
                raise Violation("a dead token is alive", [token])

    def revoke(self) -> None:
        """End the sessions of the second subject."""
        subject = subjects(self.name)[1]
        effect: Effect = {key: None for key, facts in self.state.items() if facts.subject == subject}
        self.perform("revoke", effect, lambda: self.store.revoke(subject), len(effect))

    def revoke_id(self) -> None:
        if key := self._any():
            session = self.store.peek(self._token(key))
            if session is None:
                raise Violation("a session is gone", [key, self.state])
            self.perform("revoke_id", {key: None}, lambda: self.store.revoke_id(session.id), True)

    def sync(self) -> None:
        self.perform("sync", {}, self.store.sync, None)

    def sweep(self) -> None:
        self.perform("sweep", {}, self.store.sweep, ANY)

    def compact(self) -> None:
        self.perform("compact", {}, lambda: compact(self.store, 0), ANY)

    def be_refused(self) -> None:
        """Meet a view that has no room when it commits, after the log has the entry."""

        def call() -> bool:
            with commits_failing(self.store):
                try:
                    if key is None:
                        self.store.create(self._data(name, 0), subject=facts.subject)
                    else:
                        self.store.delete(self._token(key))
                except crudjt.StoreFull:
                    return True
            return False

        key = self._any()
        name, facts = self._new()
        self.perform(REFUSED, {name: facts} if key is None else {key: None}, call, True)


ANY = object()
