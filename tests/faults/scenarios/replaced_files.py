"""Files of a store that are replaced or removed while processes work on it: no process goes on with the old ones."""

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import crudjt
from crudjt._filesystem import host
from tests.faults.model.history import FileJournal
from tests.faults.model.lives import Lives, finished
from tests.faults.model.workload import Workload
from tests.faults.tally import Tally, Violation
from tests.support.processes import Fork, eventually

PROCESSES = 2
INTERVAL = 0.02
NOTICED = 10.0  # seconds: the machine may be busy
OPERATIONS = 30
BOOT = host.Boot("boot 0", 1_700_000_000)


def _remove(name: str, path: Path) -> None:
    """Move it away, since a directory to which others write cannot be removed in one step."""
    (path / name).rename(path.with_name("removed"))


def _restore_backup(path: Path) -> None:
    path.rename(path.with_name("old"))
    path.with_name("backup").rename(path)


DEEDS: list[Callable[[Path], None]] = [
    _restore_backup,
    *(partial(_remove, name) for name in ("lock", "control", "view/data.mdb", "log", ".")),
]


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Replace something in as many stores."""
    tally = Tally()
    for number in range(rounds):
        place = directory / str(number)
        place.mkdir()
        _replace(Random(f"{seed} {number}"), place, tally)
        shutil.rmtree(place)
    return tally


def _replace(random: Random, directory: Path, tally: Tally) -> None:
    journals = directory / "journals"
    journals.mkdir()
    lives = Lives(directory / "store", journals, crudjt.generate_secret_key())
    finished(lives.begin(random, BOOT, full=False, operations=OPERATIONS), [])
    finished(Fork(_back_up, lives), [])
    begun = directory / "begun"
    names = [lives.expect() for _ in range(PROCESSES)]
    workers = [Fork(_work, lives, name, random.random(), begun) for name in names]
    try:
        assert eventually(lambda: all((journals / name).exists() for name in names))
        time.sleep(random.uniform(0.02, 0.2))
        begun.touch()
        random.choice(DEEDS)(lives.path)
        tally.faults += 1
        for worker in workers:
            finished(worker, [])
    finally:
        for worker in workers:
            worker.end()
    tally.operations += lives.operations()


def _back_up(lives: Lives) -> None:
    host.current_boot = lambda: BOOT  # this process ends with the function
    with crudjt.open(lives.path, secret_key=lives.secret_key) as store:
        store.backup(lives.path.with_name("backup"))


def _work(lives: Lives, name: str, seed: float, begun: Path) -> None:
    """Work until the store fails, which it has to soon after something was replaced."""
    host.current_boot = lambda: BOOT  # this process ends with the function
    store = crudjt.open(lives.path, secret_key=lives.secret_key, sync_interval=INTERVAL)
    workload = Workload(store, Random(f"{seed} {name}"), FileJournal(lives.journals / name), name)
    end = 0.0
    try:
        while not end or time.monotonic() < end:
            workload.step()
            if not end and begun.exists():
                end = time.monotonic() + NOTICED
    except crudjt.StoreFailed:
        if not begun.exists():
            raise
        return
    raise Violation(f"a process went on for {NOTICED:.0f} s after files of the store were replaced")
