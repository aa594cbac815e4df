"""``python -m tests.faults``: break the store for some minutes, or show that each of its guards is needed."""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.mutants import BROKEN, CAUGHT, MUTANTS, Mutant, verdicts
from tests.faults.scenarios import (
    cluster,
    crash_states,
    damage,
    forks,
    histories,
    interleavings,
    io_errors,
    kills,
    lost_replies,
    move,
    power,
    replaced_files,
    servers,
    strace,
    users,
)
from tests.faults.tally import Scenario, Tally, Unavailable, Violation, play

# By name: what to run, and how many rounds of it take a few seconds.
SCENARIOS: dict[str, tuple[Scenario, int]] = {
    "crash-states": (crash_states.run, 4),
    "power": (power.run, 10),
    "kills": (kills.run, 4),
    "forks": (forks.run, 4),
    "users": (users.run, 2),
    "replaced-files": (replaced_files.run, 4),
    "io-errors": (io_errors.run, 6),
    "strace": (strace.run, 1),
    "histories": (histories.run, 10),
    "interleavings": (interleavings.run, 10),
    "damage": (damage.run, 10),
    "move": (move.run, 2),
    "cluster": (cluster.run, 4),
    "lost-replies": (lost_replies.run, 4),
    "servers": (servers.run, 2),
}
IN_MEMORY = Path("/dev/shm")  # where syncing costs nothing; a run of the tests has a directory there already
ON_DISK = {"power"}  # its file systems are too large for memory


def main() -> int:
    """Run what the command line says; return 1 where a promise was broken or a mutant was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to go on (default: 1)")
    parser.add_argument("--seed", type=int, default=None, help="repeat a run: what a violation has printed")
    parser.add_argument("--only", choices=SCENARIOS, action="append", help="a scenario; may be given again")
    parser.add_argument("--rounds", type=int, default=None, help="how much each scenario does in its turn")
    parser.add_argument("--mutants", action="store_true", help="run deliberate defects, and show who catches them")
    parser.add_argument("--quick", action="store_true", help="with --mutants: only those that are caught at once")
    parser.add_argument("--report", type=Path, default=Path(), help="directory for the history of a violation")
    options = parser.parse_args()
    logging.getLogger("crudjt").setLevel(logging.CRITICAL)  # torn tails and failing disks are what this is about
    seed = options.seed if options.seed is not None else time.time_ns() % 10**9
    if options.mutants:
        return judge([mutant for mutant in MUTANTS if mutant.quick or not options.quick], seed)
    return go_on(options.only or list(SCENARIOS), seed, options.minutes, options.rounds, options.report)


@contextmanager
def place(*, on_disk: bool = False) -> Iterator[Path]:
    """Keep an empty directory for a block."""
    directory = IN_MEMORY if IN_MEMORY.is_dir() and not on_disk and "TMPDIR" not in os.environ else None
    with tempfile.TemporaryDirectory(prefix="crudjt-faults-", dir=directory) as path:
        yield Path(path)


def go_on(names: list[str], seed: int, minutes: float, rounds: int | None, report: Path) -> int:
    """Run scenarios in turn until the time is over, each at least once."""
    end = time.monotonic() + 60 * minutes
    tallies = {name: Tally() for name in names}
    seconds = dict.fromkeys(names, 0.0)
    violated: str | None = None
    again = f" --rounds {rounds}" if rounds else ""
    number = seed
    while violated is None:
        for name in [name for name in names if name in tallies]:
            try:
                begun = time.monotonic()
                tallies[name].add(play_named(name, number, rounds))
                seconds[name] += time.monotonic() - begun
            except Unavailable as reason:
                print(f"{name}: skipped: {reason}")
                del tallies[name]
            except Violation as violation:
                file = report / f"violation-{name}-{number}.json"
                violation.write(file, scenario=name, seed=number)
                print(f"{name}: VIOLATION: {violation.promise}\n  history: {file}")
                print(f"  again: python -m tests.faults --only {name} --seed {number} --minutes 0{again}")
                violated = name
                break
        number += 1
        if time.monotonic() > end or not tallies:
            break
    print(
        f"\n{'scenario':<14}{'seconds':>9}{'operations':>12}{'kills':>8}{'crashes':>9}{'faults':>8}{'violations':>12}"
    )
    for name, tally in tallies.items():
        print(
            f"{name:<14}{seconds[name]:>9.1f}{tally.operations:>12}{tally.kills:>8}{tally.crashes:>9}{tally.faults:>8}"
            f"{int(name == violated):>12}"
        )
    for name, tally in tallies.items():
        for what, most in tally.measured.items():
            print(f"{name}: {what}: at most {most}")
    print(f"seeds {seed} to {number - 1}")
    return int(violated is not None)


def play_named(name: str, seed: int, rounds: int | None) -> Tally:
    """Run one scenario."""
    scenario, usual = SCENARIOS[name]
    with place(on_disk=name in ON_DISK) as directory:
        return play(scenario, seed, rounds or usual, directory)


def judge(mutants: list[Mutant], seed: int) -> int:
    """Print a table of mutants and who caught them; return 1 unless every one was caught by a violation."""
    caught = 0
    with place() as directory:
        for mutant, outcome, by in verdicts(seed, directory, mutants):
            caught += outcome == CAUGHT
            scenario = mutant.scenario.__module__.rpartition(".")[2].replace("_", "-")
            print(f"{outcome}  {scenario:<14} {mutant.name}", flush=True)
            if outcome == BROKEN:
                print(by, flush=True)
    print(f"\n{caught} of {len(mutants)} mutants were caught, seed {seed}")
    return int(caught < len(mutants))


if __name__ == "__main__":
    sys.exit(main())
