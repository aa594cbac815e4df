"""Random histories of every operation, over two stores on one directory, against a model in plain Python."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

import crudjt
from crudjt import KEEP
from crudjt._core.validation import KeepType
from crudjt.testing import FakeClock
from tests.contract.model import Known, Model
from tests.support.stores import Backend

Value = TypeVar("Value")

WHICH = st.sampled_from([0, 1])
DATA = st.dictionaries(st.sampled_from("abc"), st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=2), max_size=2)
DURATIONS = st.sampled_from([1, 30, 100, 1000, 2500])
COUNTS = st.integers(1, 3)
SUBJECTS = st.sampled_from(["x", "y"])
LABELS: st.SearchStrategy[tuple[str, ...]] = st.sampled_from([(), ("l",), ("l", "x")])
STEPS = st.sampled_from([1, 3, 10, 29, 30, 90, 99, 100, 1000])


def limit(values: st.SearchStrategy[Value]) -> st.SearchStrategy[Value | None]:
    return st.none() | values


def new_limit(values: st.SearchStrategy[int]) -> st.SearchStrategy[int | KeepType | None]:
    return st.just(KEEP) | st.none() | values


def seconds(milliseconds: Any) -> Any:
    """Return a limit as the store takes it; `KEEP` and ``None`` stay."""
    return milliseconds / 1000 if isinstance(milliseconds, int) else milliseconds


class StoresAgainstModel(RuleBasedStateMachine):
    """Both stores answer every call as the model does, whichever is asked."""

    tokens = Bundle("tokens")

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.backend = backend
        self.directory = tempfile.TemporaryDirectory(prefix="crudjt-model-")
        self.secret_key = crudjt.generate_secret_key()
        self.clock = FakeClock()
        self.model = Model()
        self.handles: dict[str, str] = {}
        self.stores = [self.opened(), self.opened()]

    def opened(self) -> crudjt.Store:
        """Open a store whose background thread never wakes: it would sweep behind the model's back."""
        path = Path(self.directory.name) / "store"
        return self.backend(path, secret_key=self.secret_key, clock=self.clock, sync_interval=3600)

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.directory.cleanup()

    @property
    def now(self) -> int:
        return self.clock() // 1_000_000

    def check(self, session: crudjt.Session | None, known: Known | None) -> None:
        """Compare what a store shows with what the model knows."""
        if session is None or known is None:
            assert session is None
            assert known is None
            return
        assert session.data == known.data
        assert session.subject == known.subject
        assert session.labels == known.labels
        assert session.version == known.version
        assert session.reads_left == known.reads_left
        assert round(session.created_at.timestamp() * 1000) == known.created
        left = None if session.expires_in is None else self.now + round(session.expires_in * 1000)
        assert left == known.expires

    # Starting sessions

    @initialize(target=tokens, data=DATA)
    def start(self, data: dict[str, Any]) -> str:
        return self.create(0, data, None, None, None, "x")

    def create(
        self,
        which: int,
        data: dict[str, Any],
        ttl: int | None,
        max_reads: int | None,
        idle: int | None,
        subject: str | None,
        labels: tuple[str, ...] = (),
    ) -> str:
        about: Any = {"subject": subject, "labels": labels}
        token = self.stores[which].create(data, seconds(ttl), max_reads, idle=seconds(idle), **about)
        known = Known(data, subject, self.now, ttl and self.now + ttl, idle, max_reads, labels=labels)
        self.model.create(token, self.now, known)
        return token

    @rule(
        target=tokens,
        which=WHICH,
        data=DATA,
        ttl=limit(DURATIONS),
        max_reads=limit(COUNTS),
        idle=limit(DURATIONS),
        subject=limit(SUBJECTS),
        labels=LABELS,
    )
    def create_one(
        self,
        which: int,
        data: dict[str, Any],
        ttl: int | None,
        max_reads: int | None,
        idle: int | None,
        subject: str | None,
        labels: tuple[str, ...],
    ) -> str:
        return self.create(which, data, ttl, max_reads, idle, subject, labels)

    @rule(target=tokens, which=WHICH, data=st.lists(DATA, max_size=3), ttl=limit(DURATIONS), subject=limit(SUBJECTS))
    def create_many(self, which: int, data: list[dict[str, Any]], ttl: int | None, subject: str | None) -> Any:
        created = self.stores[which].create_many(data, seconds(ttl), subject=subject)
        assert len(created) == len(data)
        for token, each in zip(created, data, strict=True):
            self.model.create(token, self.now, Known(each, subject, self.now, ttl and self.now + ttl, None, None))
        return multiple(*created)

    # Reading

    @rule(which=WHICH, token=tokens, times=st.integers(1, 3))
    def read(self, which: int, token: str, times: int) -> None:
        for _ in range(times):
            session = self.stores[which].read(token)
            self.check(session, self.model.read(token, self.now))
            if session is not None:
                self.handles[token] = session.id
                session.data["changed by"] = "the caller"

    @rule(token=tokens)
    def read_from_both(self, token: str) -> None:
        """Most often this leaves the token in both caches."""
        for which in (0, 1):
            self.read(which, token, 1)

    @rule(which=WHICH, token=tokens)
    def peek(self, which: int, token: str) -> None:
        self.check(self.stores[which].peek(token), self.model.live(token, self.now))

    @rule(which=WHICH, chosen=st.lists(tokens, max_size=4))
    def read_many(self, which: int, chosen: list[str]) -> None:
        found = self.stores[which].read_many(chosen)
        assert len(found) == len(chosen)
        for token, session in zip(chosen, found, strict=True):
            self.check(session, self.model.read(token, self.now))

    @rule(which=WHICH, subject=SUBJECTS)
    def sessions(self, which: int, subject: str) -> None:
        expected = [self.model.sessions[token] for token in self.model.of_subject(subject)]
        alive = [known for known in expected if known.alive(self.now)]
        found = list(self.stores[which].sessions(subject))
        assert len({session.id for session in found}) == len(found)
        by_content = [(session.data, session.version, session.reads_left) for session in found]
        for known in alive:
            by_content.remove((known.data, known.version, known.reads_left))
        assert by_content == []

    # Changing

    @rule(
        which=WHICH,
        token=tokens,
        data=DATA,
        ttl=new_limit(DURATIONS),
        max_reads=new_limit(COUNTS),
        idle=new_limit(DURATIONS),
    )
    def update(
        self,
        which: int,
        token: str,
        data: dict[str, Any],
        ttl: int | KeepType | None,
        max_reads: int | KeepType | None,
        idle: int | KeepType | None,
    ) -> None:
        updated = self.stores[which].update(token, data, seconds(ttl), max_reads, idle=seconds(idle))
        assert updated == self.model.change(token, self.now, data, ttl, idle, max_reads)

    @rule(which=WHICH, token=tokens, data=DATA)
    def update_data(self, which: int, token: str, data: dict[str, Any]) -> None:
        assert self.stores[which].update(token, data) == self.model.change(token, self.now, data, KEEP, KEEP, KEEP)

    @rule(which=WHICH, token=tokens, data=DATA, if_version=st.integers(1, 3))
    def update_of_a_version(self, which: int, token: str, data: dict[str, Any], if_version: int) -> None:
        known = self.model.live(token, self.now)
        if known is None or known.version == if_version:
            updated = self.stores[which].update(token, data, if_version=if_version)
            assert updated == self.model.change(token, self.now, data, KEEP, KEEP, KEEP)
            return
        with pytest.raises(crudjt.VersionConflict) as caught:
            self.stores[which].update(token, data, if_version=if_version)
        assert (caught.value.expected, caught.value.actual) == (if_version, known.version)

    @rule(which=WHICH, token=tokens, ttl=new_limit(DURATIONS), idle=new_limit(DURATIONS))
    def touch(self, which: int, token: str, ttl: int | KeepType | None, idle: int | KeepType | None) -> None:
        touched = self.stores[which].touch(token, seconds(ttl), idle=seconds(idle))
        assert touched == self.model.change(token, self.now, None, ttl, idle, KEEP)

    @rule(
        target=tokens,
        which=WHICH,
        token=tokens,
        data=st.none() | DATA,
        subject=st.just(KEEP) | limit(SUBJECTS),
        ttl=st.just(KEEP) | new_limit(DURATIONS),
        idle=st.just(KEEP) | new_limit(DURATIONS),
        labels=st.just(KEEP) | LABELS,
    )
    def rotate(
        self,
        which: int,
        token: str,
        data: dict[str, Any] | None,
        subject: str | KeepType | None,
        ttl: int | KeepType | None,
        idle: int | KeepType | None,
        labels: tuple[str, ...] | KeepType,
    ) -> Any:
        changes: Any = {"data": data, "subject": subject, "labels": labels}
        new = self.stores[which].rotate(token, **changes, ttl=seconds(ttl), idle=seconds(idle))
        self.model.rotate(token, new, self.now, data, subject, ttl, idle, labels)
        return multiple() if new is None else new

    # Ending

    @rule(which=WHICH, token=tokens)
    def delete(self, which: int, token: str) -> None:
        assert self.stores[which].delete(token) == bool(self.model.remove([token], self.now))

    @rule(which=WHICH, chosen=st.lists(tokens, max_size=3))
    def delete_many(self, which: int, chosen: list[str]) -> None:
        assert self.stores[which].delete_many(chosen) == self.model.remove(chosen, self.now)

    @rule(which=WHICH, token=tokens)
    def revoke_id(self, which: int, token: str) -> None:
        handle = self.handles.get(token)
        if handle is not None:
            assert self.stores[which].revoke_id(handle) == bool(self.model.remove([token], self.now))

    @rule(which=WHICH, subject=SUBJECTS)
    def revoke(self, which: int, subject: str) -> None:
        assert self.stores[which].revoke(subject) == self.model.remove(self.model.of_subject(subject), self.now)

    @rule(which=WHICH, subject=SUBJECTS, keep=tokens)
    def revoke_but_one(self, which: int, subject: str, keep: str) -> None:
        ending = [token for token in self.model.of_subject(subject) if token != keep]
        assert self.stores[which].revoke(subject, keep=keep) == self.model.remove(ending, self.now)

    @rule(which=WHICH, label=st.sampled_from(["x", "l"]), subject=limit(SUBJECTS))
    def revoke_label(self, which: int, label: str, subject: str | None) -> None:
        """A subject may have the name of a label."""
        ending = self.model.of_label(label, subject)
        assert self.stores[which].revoke(subject, label=label) == self.model.remove(ending, self.now)

    # Time, and the store itself

    @rule(milliseconds=STEPS)
    def advance(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds / 1000)

    @rule(which=WHICH, milliseconds=STEPS)
    def set_back(self, which: int, milliseconds: int) -> None:
        """Sweep first: whether an expired session that nobody has swept lives again is left open."""
        self.sweep(which)
        self.clock.set_back(milliseconds / 1000)

    @rule(which=WHICH)
    def sweep(self, which: int) -> None:
        assert self.stores[which].sweep() == self.model.sweep(self.now)

    @rule(which=WHICH)
    def close_and_reopen(self, which: int) -> None:
        self.stores[which].close()
        self.stores[which] = self.opened()

    @precondition(lambda self: self.model.sessions)
    @rule()
    def close_and_reopen_both(self) -> None:
        for store in self.stores:
            store.close()
        self.stores = [self.opened(), self.opened()]

    @invariant()
    def the_stores_count_what_the_model_counts(self) -> None:
        assert [store.stats().sessions for store in self.stores] == [len(self.model.sessions)] * 2


@pytest.mark.slow
def test_random_histories_agree_with_the_model(backend: Backend) -> None:
    histories = 40 if backend is crudjt.open else 6  # the others ask the same engine, each call over more steps
    machine: Any = partial(StoresAgainstModel, backend)  # a factory is as good as a class, but not to its annotation
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=histories, stateful_step_count=50, derandomize=True),
    )
