"""A process's life with a store: random operations, each noted in a journal before and after."""

from collections.abc import Callable
from random import Random
from typing import Any

import crudjt
from tests.faults.model.history import Begun, Done, Effect, Facts, Journal, State, applied, look, subjects
from tests.faults.tally import Violation
from tests.support.embedded import commits_failing, compact, disk_has_failed

QUIET = 3600.0  # a sync interval at which the background thread never comes
MOST_SESSIONS = 30
TAKE = "limited read"
REFUSED = "refused"  # the operation that may be there if all dies in its midst, and not later


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
        self._labelled: set[str] = set()  # keys of sessions that have the label of this process
        self.actions: list[Callable[[], None]] = [
            self.create, self.create, self.create, self.create_many, self.update, self.update, self.update_version,
            self.touch, self.rotate, self.rotate, self.delete, self.delete_many, self.take, self.take, self.read,
            self.revoke, self.revoke_label, self.revoke_id, self.sync, self.sweep, self.compact, self.be_refused,
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
            self._require_unchanged(name)
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

    def _require_unchanged(self, refused: str) -> None:
        """Raise a `Violation` if an operation that was refused has changed anything."""
        seen = look(self.store, self.name, [facts.token for facts in self.state.values() if facts.token])
        if not seen.shows(self.state):
            raise Violation(f"{refused} was refused and has changed something", [self.state, seen])

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
        about: dict[str, Any] = {"max_reads": facts.reads_left, "subject": facts.subject}
        if self.random.random() < 0.3:
            self._labelled.add(key)
            about["labels"] = (self.name, f"{self.name} {key}")
        ttl = self.random.choice([None, 3600])
        self.perform("create", {key: facts}, lambda: self.store.create(self._data(key, 0), ttl=ttl, **about), ANY)

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

    def revoke_label(self) -> None:
        effect: Effect = {key: None for key in self.state if key in self._labelled}
        self.perform("revoke by label", effect, lambda: self.store.revoke(label=self.name), len(effect))

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
