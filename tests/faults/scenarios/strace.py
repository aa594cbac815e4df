"""Calls to the kernel that fail, made to from outside by strace: below LMDB and the interpreter too."""

import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import crudjt
from crudjt._filesystem import host
from tests.faults.model.history import FileJournal
from tests.faults.model.lives import Lives
from tests.faults.model.workload import Workload
from tests.faults.tally import Tally, Unavailable, Violation

OPERATIONS = 30
FAULTS = 8  # of one store
CALLS = [
    "pwrite64",
    "fdatasync",
    "fsync",
    "ftruncate",
    "openat",
    "fallocate",
    "rename",
    "unlink",
    "write",
    "mmap",
    "flock",
]
ERRORS = ["EIO", "ENOSPC", "EINTR", "ENOMEM", "EMFILE"]


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Let several calls fail, one process each, on as many stores."""
    if shutil.which("strace") is None:
        raise Unavailable("strace is not installed")
    tally = Tally()
    for number in range(rounds):
        random = Random(f"{seed} {number}")
        place = directory / str(number)
        place.mkdir()
        lives = Lives(place / "store", place, crudjt.generate_secret_key())
        for fault in range(FAULTS):
            _one_fault(random, lives, place, f"{seed} {number} {fault}", tally)
        shutil.rmtree(place)
    return tally


def _one_fault(random: Random, lives: Lives, place: Path, seed: str, tally: Tally) -> None:
    call = random.choice(CALLS)
    name = lives.expect()
    fault = f"{call}:error={random.choice(ERRORS)}:when={random.randrange(1, 12)}"
    arguments = [str(lives.path), lives.secret_key, str(place / name), seed]
    tracing = ["strace", "-f", "-qq", "-o", str(place / "trace"), *_below(lives.path), "-e", f"inject={fault}"]
    ran = subprocess.run(
        [*tracing, sys.executable, "-m", "tests.faults.scenarios.strace", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if ran.returncode not in (0, 1) or ("Traceback" in ran.stderr and "crudjt.errors." not in ran.stderr):
        raise Violation(f"a process did not bear {fault}: {ran.returncode}\n{ran.stderr}", lives.events())
    tally.faults += (place / "trace").read_text().count("(INJECTED)")
    tally.operations += lives.operations()
    boot = host.current_boot()
    lives.check(boot, power_failed=False)


def _below(path: Path) -> list[str]:
    """Return what limits strace to the files of a store."""
    names = [
        "",
        "lock",
        "control",
        "manifest",
        "view/data.mdb",
        "log/0000000001.log",
    ]
    return [argument for name in names for argument in ("-P", str(path / name))]


def _live(path: str, key: str, journal: str, seed: str) -> None:
    random = Random(seed)
    full = random.random() < 0.5
    if random.random() < 0.5:
        host.PREALLOCATING_FILE_SYSTEMS = frozenset()  # so that the log is written with calls
    store = crudjt.open(path, secret_key=key, durability="full" if full else "interval", sync_interval=0.02)
    name = Path(journal).name
    Workload(store, random, FileJournal(Path(journal)), name, full=full, tolerant=True).run(OPERATIONS)


if __name__ == "__main__":
    _live(*sys.argv[1:])
