"""Families of processes that C code has forked, of which no hook of Python is told. All go on with one open store.

Each works on sessions of its own, and some are killed. Nothing that was acknowledged may be missing, no process may
hang, and no nonce may be used twice. As under uWSGI with its defaults, the store runs no threads: CPython itself may
hang in a child if another thread waits for the interpreter lock while C code forks.
"""

import shutil
import sys
import time
from pathlib import Path
from random import Random
from types import ModuleType

import crudjt
from crudjt._backends.embedded.engine.log import LOG_DIRECTORY
from crudjt._backends.embedded.engine.segment import segment_numbers, segment_path
from crudjt._backends.embedded.engine.segment_reader import SegmentReader
from crudjt._core.changes import DELETE
from crudjt._core.header import HEADER_BYTES
from crudjt._core.xaes import NONCE_BYTES
from crudjt._filesystem import host
from tests.faults.model.history import FileJournal
from tests.faults.model.lives import Lives, finished
from tests.faults.model.workload import Workload
from tests.faults.tally import Tally, Violation
from tests.support.processes import Fork, ForkBelowPython

FAMILY = 7  # processes, in three generations
OPERATIONS = 20  # of each, before, between and after its forks
BOOT = host.Boot("boot 0", 1_700_000_000)


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Let as many families live, each with a store of its own."""
    tally = Tally()
    for number in range(rounds):
        place = directory / str(number)
        place.mkdir()
        _family(f"{seed} {number}", place, tally)
        shutil.rmtree(place)
    return tally


def _family(seed: str, directory: Path, tally: Tally) -> None:
    journals = directory / "journals"
    journals.mkdir()
    lives = Lives(directory / "store", journals, crudjt.generate_secret_key())
    names = [lives.expect() for _ in range(FAMILY)]
    tally.kills += finished(Fork(_first, lives, names, seed), [])
    tally.operations += lives.operations()
    _require_different_nonces(lives.path)
    lives.check(BOOT, power_failed=False)
    lives.check(BOOT._replace(id="boot 1"), power_failed=False)


def _first(lives: Lives, names: list[str], seed: str) -> int:
    host.current_boot = lambda: BOOT  # this process ends with the function
    sys.modules["uwsgi"] = uwsgi = ModuleType("uwsgi")
    vars(uwsgi)["has_threads"] = 0
    return _live(crudjt.open(lives.path, secret_key=lives.secret_key, sync_interval=0.02), lives, names, seed)


def _live(store: crudjt.Store, lives: Lives, names: list[str], seed: str) -> int:
    """Work under the first of the names, and fork children for the others; return how many were killed."""
    name, *others = names
    random = Random(f"{seed} {name}")
    workload = Workload(store, random, FileJournal(lives.journals / name), name)
    workload.run(random.randrange(OPERATIONS))
    killed = 0
    children: list[ForkBelowPython] = []
    try:
        for heirs in filter(None, (others[::2], others[1::2])):
            child = ForkBelowPython(_live, store, lives, heirs, seed)
            children.append(child)
            workload.run(random.randrange(OPERATIONS))
            if len(heirs) == 1 and random.random() < 0.5:  # else its own children would go on unseen
                time.sleep(random.uniform(0, 0.02))
                child.kill()
                killed += 1
        workload.run(OPERATIONS)
        killed += sum(finished(child, lives.events()) or 0 for child in children)
        workload.run(OPERATIONS)
    finally:
        for child in children:
            child.end()
    if random.random() < 0.5:
        store.close()
    return killed


def _require_different_nonces(path: Path) -> None:
    log = path / LOG_DIRECTORY
    nonces = [
        record[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES]
        for number in segment_numbers(log)
        for entry in SegmentReader(segment_path(log, number)).entries()
        for kind, _, record in entry.changes
        if kind != DELETE
    ]
    if len(set(nonces)) < len(nonces):
        raise Violation(f"{len(nonces) - len(set(nonces))} of {len(nonces)} nonces were used again")
