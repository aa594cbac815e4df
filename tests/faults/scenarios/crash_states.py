"""Every disk that a power failure may leave, at every point of a run: the store that is found is a prefix, whole.

A run is recorded below `crudjt._filesystem`. From the record, the disks are made that may be there after each
operation, and a store is opened on each in another boot. Some recoveries are recorded as well, and cut short in turn.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.engine import mmap_writer
from crudjt._backends.embedded.engine.segment import segment_numbers
from tests.faults.devices.disks import Disk, Image, materialize, ways
from tests.faults.devices.recorder import Recorder, recording
from tests.faults.model.history import Begun, Done, Event, History, State, look
from tests.faults.model.workload import QUIET, Workload
from tests.faults.tally import Tally, Violation
from tests.support.disks import Machine, spoil_view, write_log
from tests.support.embedded import compact

STORE = Path("in/a/new/place")  # below a directory that is synced already
OPERATIONS = 24
SMALL = 1024**2
_GOES_ON = 3  # every such disk is written to after its recovery
_RECOVERIES = 3  # of each run, that are cut short in turn


class Checker:
    """Opens disks and compares; a disk that was opened before is not opened again."""

    def __init__(self, directory: Path, secret_key: str, machine: Machine, history: History, tally: Tally) -> None:
        self.history = history
        self._directory = directory
        self._secret_key = secret_key
        self._machine = machine
        self._tally = tally
        self._found: dict[int, State] = {}

    def check(self, image: Image, possible: list[State], circumstances: object) -> State:
        """Open a store on a disk and return the state it shows, which must be one of these."""
        known = hash(frozenset(image.items()))
        try:
            if known not in self._found:
                self._found[known] = self._open(image, possible)
            self.history.require(self._found[known], possible)
        except Violation as violation:
            violation.history.append(("disk", circumstances, sorted(image)))
            raise
        return self._found[known]

    def _open(self, image: Image, possible: list[State]) -> State:
        root = self._directory / "disk"
        materialize(image, root)
        try:
            if (root / STORE).is_dir():
                spoil_view(root / STORE)
            state = self.look(root, possible)
            if not len(self._found) % _GOES_ON:
                self.write_and_look(root, state)
            return state
        finally:
            shutil.rmtree(root)

    def look(self, root: Path, possible: list[State]) -> State:
        """Open a store in another boot and return the state it shows."""
        self._machine.reboot()
        self._tally.crashes += 1
        try:
            with opened(root, self._secret_key) as store:
                seen = look(store, "w", self.history.tokens)
                sessions = store.stats().sessions
        except crudjt.StoreError as error:
            raise Violation(f"the store does not open: {error}", self.history.events) from error
        if sessions != len(seen.sessions):
            raise Violation(f"{sessions} sessions are counted, {len(seen.sessions)} are there", self.history.events)
        return self.history.found(seen, possible)

    def write_and_look(self, root: Path, state: State) -> None:
        """Go on with a store after its recovery, and see that another boot finds the same."""
        with opened(root, self._secret_key) as store:
            store.delete(store.create({}))
        self.look(root, [state])


def opened(root: Path, secret_key: str, **options: Any) -> crudjt.Store:
    return crudjt.open(root / STORE, secret_key=secret_key, sync_interval=QUIET, max_size=SMALL, **options)


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Record as many runs, and open the disks that each may leave."""
    tally = Tally()
    for number in range(rounds):
        with pytest.MonkeyPatch.context() as patch:
            one_run(Random(f"{seed} {number}"), directory / str(number), Machine(patch), tally)
        shutil.rmtree(directory / str(number))
    return tally


def one_run(random: Random, directory: Path, machine: Machine, tally: Tally) -> None:
    secret_key = crudjt.generate_secret_key()
    directory.mkdir()
    trace = list(record(random, directory, secret_key, machine, tally))
    history = History(event for event in trace if isinstance(event, Begun | Done))
    checker = Checker(directory, secret_key, machine, history, tally)
    cut_short = set(random.sample(range(len(trace)), min(_RECOVERIES, len(trace))))
    for at, (disk, so_far) in enumerate(prefixes(trace)):
        for way in ways(random):
            image = disk.after_power_failure(way, random)
            possible = history.between(so_far.synced, so_far.begun, in_flight=so_far.in_flight)
            found = checker.check(image, possible, (at, str(way)))
        if at in cut_short:
            cut_recovery_short(random, directory, secret_key, machine, checker, image, found)


def record(random: Random, directory: Path, secret_key: str, machine: Machine, tally: Tally) -> Sequence[Any]:
    """Return the operations of a run on files, with the events of its journal among them."""
    root = directory / "recorded"
    root.mkdir()
    full = random.random() < 0.5
    with recording(root) as recorder, log_written(random):
        with opened(root, secret_key, durability="full" if full else "interval") as store:
            workload = Workload(store, random, recorder.trace.append, full=full)
            workload.run(OPERATIONS // 2)
        recorder.trace += [Begun("close", {}), Done({}, synced=True)]
        if random.random() < 0.5:
            machine.reboot()
        with opened(root, secret_key, durability="full" if full else "interval") as store:
            workload.store = store
            compact(store, 0)
            workload.run(OPERATIONS // 2)
        workload.full = False
        with opened(root, secret_key) as store:
            workload.store = store
            meet_a_failing_disk(workload, recorder)
        with opened(root, secret_key) as store:  # which writes all that there is to new files
            workload.store = store
            recorder.trace += [Begun("recovery", {}), Done({}, synced=True)]
            workload.create()
            workload.sync()
    tally.operations += workload.operations
    shutil.rmtree(root)
    return recorder.trace


@contextmanager
def log_written(random: Random) -> Iterator[None]:
    """Have the log written through a map that reaches a few entries ahead or, at times, with calls, for a block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmap_writer, "_STEP_BYTES", 2 * _filesystem.BLOCK_BYTES)
        write_log(patch, mapped=random.random() < 0.75)
        yield


def meet_a_failing_disk(workload: Workload, recorder: Recorder) -> None:
    """Let a sync fail; a later one must not say that all is well."""
    workload.create()
    recorder.refuse_sync = True
    for _ in range(2):
        recorder.trace.append(Begun("sync on a failing disk", {}))
        try:
            workload.store.sync()
            recorder.trace.append(Done({}, synced=True))
        except crudjt.StoreFailed:
            recorder.trace.append(Done({}, synced=False))


class SoFar:
    """How far the journal has come at a point of the record."""

    def __init__(self) -> None:
        self.begun = self.synced = 0
        self.in_flight = False

    def see(self, event: Event) -> None:
        self.in_flight = isinstance(event, Begun)
        if isinstance(event, Begun):
            self.begun += 1
        elif event.synced:
            self.synced = self.begun


def prefixes(trace: Sequence[Any]) -> Iterator[tuple[Disk, SoFar]]:
    """Yield the disk, and how far the journal has come, after each operation of a record."""
    disk, so_far = Disk(), SoFar()
    for operation in trace:
        if isinstance(operation, Begun | Done):
            so_far.see(operation)
        else:
            disk.apply(operation)
        yield disk, so_far


def cut_recovery_short(
    random: Random, directory: Path, secret_key: str, machine: Machine, checker: Checker, image: Image, found: State
) -> None:
    """Recover from a disk, and from what a second power failure leaves of it: the same must be there."""
    root = directory / "recovered"
    materialize(image, root)
    if (root / STORE).is_dir():
        spoil_view(root / STORE)
    with recording(root) as recorder:
        checker.look(root, [found])
        numbers = segment_numbers(root / STORE / "log")
    shutil.rmtree(root)
    assert numbers
    for at, (disk, _) in enumerate(prefixes(recorder.trace)):
        if at + 1 < recorder.start:
            continue  # this is how the disk came to be what it was at the start
        for way in ways(random):
            checker.check(disk.after_power_failure(way, random), [found], (at, str(way), "in a recovery"))
