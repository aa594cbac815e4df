"""EIO and ENOSPC at the n-th call to the disk, for every n of a life: what is refused is not done, now or later.

A round takes every third n; six of them are all, with both errors.
"""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import crudjt
from tests.faults.devices.faulty_os import FaultyOs, refusing
from tests.faults.model.history import Event, History, State, check_count, look
from tests.faults.model.workload import QUIET, Workload
from tests.faults.tally import Tally, Violation
from tests.support.disks import Machine, write_log
from tests.support.embedded import compact, disk_has_failed

OPERATIONS = 12
SMALL = 1024**2
_MOST_CALLS = 1000
_STEP = 3
_REFUSALS = (crudjt.StoreFull, crudjt.StoreFailed)


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Live as many lives, each once for every third call that can be refused, in turn with either error."""
    tally = Tally()
    for number in range(rounds):
        error = (errno.EIO, errno.ENOSPC)[(seed + number) % 2]
        mapped = Random(f"{seed} {number} log").random() < 0.5
        for call in range(1 + (seed + number) % _STEP, _MOST_CALLS, _STEP):
            place = directory / "store"
            with pytest.MonkeyPatch.context() as patch:
                write_log(patch, mapped=mapped)
                reached = Life(f"{seed} {number}", place, Machine(patch), tally).live(call, error)
            shutil.rmtree(place, ignore_errors=True)
            if not reached:
                break
    return tally


class Life:
    """One store, from its first opening to two boots later."""

    def __init__(self, seed: str, path: Path, machine: Machine, tally: Tally) -> None:
        self._random = Random(seed)
        self._path = path
        self._machine = machine
        self._tally = tally
        self._secret_key = crudjt.generate_secret_key()
        self._events: list[Event] = []

    def live(self, call: int, error: int) -> bool:
        """Return whether there was such a call to refuse."""
        full = self._random.random() < 0.5
        with refusing(call, error) as faulty:
            store = self._open_in_spite(full=full)
            workload = Workload(store, self._random, self._events.append, full=full, tolerant=True)
            try:
                self._work(workload)
                poisoned = disk_has_failed(store)
                if poisoned:
                    self._refuses_all(store)
                elif faulty.refused:
                    self._sees(store, "in the same process", faulty)
            finally:
                self._close_in_spite(store)
        self._tally.operations += workload.operations
        if faulty.refused:
            self._tally.faults += 1
        state = self._find("in the same boot", faulty)
        for boot in range(2):
            self._machine.reboot()
            if self._find(f"after boot {boot}", faulty) != state:
                raise Violation("a boot has changed what is there", self._history_with(faulty))
        return bool(faulty.refused)

    def _open_in_spite(self, *, full: bool) -> crudjt.Store:
        try:
            return self._open(full=full)
        except _REFUSALS:
            return self._open(full=full)

    def _open(self, *, full: bool = False) -> crudjt.Store:
        return crudjt.open(
            self._path,
            secret_key=self._secret_key,
            sync_interval=QUIET,
            max_size=SMALL,
            durability="full" if full else "interval",
        )

    @staticmethod
    def _close_in_spite(store: crudjt.Store) -> None:
        try:
            store.close()
        except _REFUSALS:
            store.close()

    def _work(self, workload: Workload) -> None:
        try:
            workload.run(OPERATIONS // 2)
            self._compact_in_spite(workload.store)
            workload.run(OPERATIONS // 2)
        except _REFUSALS:
            if not disk_has_failed(workload.store):
                raise

    @staticmethod
    def _compact_in_spite(store: crudjt.Store) -> None:
        try:
            compact(store, 0)
        except _REFUSALS:
            if disk_has_failed(store):
                raise

    def _refuses_all(self, store: crudjt.Store) -> None:
        """See that a store whose disk failed refuses everything, and does not sync again."""
        calls: list[Callable[[], object]] = [
            lambda: store.create({}),
            lambda: store.read("A" * 22),
            store.sync,
            lambda: list(store.sessions("w")),
        ]
        for number, call in enumerate(calls):
            try:
                call()
            except crudjt.StoreFailed:
                continue
            raise Violation(f"call {number} of a store whose disk has failed was answered", self._events)

    def _sees(self, store: crudjt.Store, when: str, faulty: FaultyOs) -> State:
        history = History(self._events)
        seen = look(store, "w", history.tokens)
        try:
            state = history.found(seen, history.between(history.acknowledged, history.begun))
            check_count(store, len(state))
        except Violation as violation:
            violation.history.append((when, f"call {faulty.calls}", faulty.refused))
            raise
        return state

    def _find(self, when: str, faulty: FaultyOs) -> State:
        try:
            with self._open() as store:
                return self._sees(store, when, faulty)
        except crudjt.StoreError as error:
            raise Violation(f"the store does not open {when}: {error}", self._history_with(faulty)) from error

    def _history_with(self, faulty: FaultyOs) -> list[object]:
        return [*self._events, ("refused", faulty.refused)]
