"""Threads that use a store while its servers fail, and know what may be there afterwards.

Each session belongs to one thread. A call that raised `StoreUnavailable` may have been carried out or not, so that a
session has several possible states until a later call settles it. Nothing else may be raised, and no answer may be one
that no possible state explains.
"""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import crudjt
from tests.support.processes import PATIENCE

ENDED = -1  # the state of a session that has ended; of others it is the number in their data


class Owned:
    """A session and its possible states."""

    def __init__(self, token: str, subject: str | None) -> None:
        self.token = token
        self.subject = subject
        self.possible = {0}

    def settle(self, state: int) -> None:
        self.possible = {state}

    def doubt(self, state: int) -> None:
        self.possible.add(state)

    def require(self, seen: int, what: str) -> None:
        if seen not in self.possible:
            raise AssertionError(f"{what} found state {seen}, but only {sorted(self.possible)} may be")


class Load:
    """Threads that create, read, update and delete, each its own sessions.

    Attributes:
        calls: how many have returned.
        unavailable: how many have raised `StoreUnavailable`.
        longest: seconds that the longest call took.

    """

    def __init__(self, store: crudjt.Store, *, threads: int = 4, subjects: int = 40, seed: int = 1) -> None:
        self.store = store
        self.calls = self.unavailable = 0
        self.longest = 0.0
        self.sessions: list[Owned] = []
        self._subjects = subjects
        self._ending = threading.Event()
        self._failures: list[BaseException] = []
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._use, args=(Random(f"{seed} {number}"),), daemon=True)
            for number in range(threads)
        ]

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Let the threads run while a block does, and raise what one of them met."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._ending.set()
            for thread in self._threads:
                thread.join(PATIENCE)
        self.raise_failures()

    def raise_failures(self) -> None:
        for failure in self._failures:
            raise failure

    def wait_for_calls(self, count: int) -> None:
        """Wait until so many more calls have returned."""
        goal = self.calls + count
        deadline = time.monotonic() + PATIENCE
        while self.calls < goal:
            self.raise_failures()
            assert time.monotonic() < deadline, f"{self.calls} of {goal} calls returned"
            time.sleep(0.005)

    def check(self, store: crudjt.Store, *, lost: bool = False) -> None:
        """Require a possible state of each session; where the last changes may be `lost`, only look at each."""
        for owned, session in zip(self.sessions, self._read(store), strict=True):
            seen = ENDED if session is None else session.data["n"]
            if not lost:
                owned.require(seen, "the look afterwards")

    def _read(self, store: crudjt.Store) -> list[crudjt.Session | None]:
        tokens = [owned.token for owned in self.sessions]
        found: list[crudjt.Session | None] = []
        for start in range(0, len(tokens), 200):
            found += store.read_many(tokens[start : start + 200])
        return found

    def _use(self, random: Random) -> None:
        mine: list[Owned] = []
        numbers = itertools.count(1)
        try:
            while not self._ending.is_set():
                begun = time.monotonic()
                try:
                    self._call(random, mine, numbers)
                except crudjt.StoreUnavailable:
                    self._count(begun, unavailable=1)
                else:
                    self._count(begun, calls=1)
        except BaseException as failure:  # noqa: BLE001 - raised by the test
            self._failures.append(failure)

    def _count(self, begun: float, *, calls: int = 0, unavailable: int = 0) -> None:
        with self._lock:
            self.calls += calls
            self.unavailable += unavailable
            self.longest = max(self.longest, time.monotonic() - begun)

    def _call(self, random: Random, mine: list[Owned], numbers: Iterator[int]) -> None:
        chance = random.random()
        if not mine or chance < 0.2:
            subject = f"subject {random.randrange(self._subjects)}" if random.random() < 0.7 else None
            token = self.store.create({"n": 0}, ttl=600, subject=subject)
            owned = Owned(token, subject)
            mine.append(owned)
            with self._lock:
                self.sessions.append(owned)
            return
        owned = random.choice(mine[-50:])
        if chance < 0.6:
            session = self.store.read(owned.token)
            owned.require(ENDED if session is None else session.data["n"], "read")
        elif chance < 0.85:
            self._update(owned, next(numbers))
        else:
            self._delete(owned)

    def _update(self, owned: Owned, number: int) -> None:
        before = set(owned.possible)
        owned.doubt(number)
        if self.store.update(owned.token, {"n": number}):
            assert before != {ENDED}, "an ended session was updated"
            owned.settle(number)
        else:
            assert ENDED in before, "update found no session"
            owned.settle(ENDED)

    def _delete(self, owned: Owned) -> None:
        before = set(owned.possible)
        owned.doubt(ENDED)
        if self.store.delete(owned.token):
            assert before != {ENDED}, "an ended session was ended again"
        else:
            assert ENDED in before, "delete found no session"
        owned.settle(ENDED)
