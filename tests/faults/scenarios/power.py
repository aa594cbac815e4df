"""Power failures of real file systems under load: what was synced is there, and nothing but a prefix of the rest."""

import shutil
import time
from pathlib import Path
from random import Random

import crudjt
from crudjt._filesystem import host
from tests.faults.devices.loop_disks import FILE_SYSTEMS, LoopDisk, loop_disk
from tests.faults.model.history import Begun, History, State
from tests.faults.model.lives import Lives
from tests.faults.model.workload import TAKE
from tests.faults.tally import Tally, Violation
from tests.support.processes import Fork

PROCESSES = 2
ENDLESS = 10**9
FAILURES = 10  # of the power, for one store


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Let the power fail, on each file system as many times as `rounds` say."""
    tally = Tally()
    for kind in FILE_SYSTEMS:
        place = directory / kind
        place.mkdir()
        with loop_disk(kind, place) as disk:
            on_disk(disk, Random(f"{seed} {kind}"), rounds, place, tally)
        shutil.rmtree(place)
    return tally


def on_disk(disk: LoopDisk, random: Random, rounds: int, directory: Path, tally: Tally) -> None:
    for number in range(rounds):
        if not number % FAILURES:
            store = disk.point / f"store-{number}"
            journals = directory / f"journals-{number}"
            journals.mkdir()
            lives = Lives(store, journals, crudjt.generate_secret_key())
        one_failure(disk, lives, number, random, tally)
        if number % FAILURES == FAILURES - 1:
            shutil.rmtree(store)
            shutil.rmtree(journals)


def one_failure(disk: LoopDisk, lives: Lives, number: int, random: Random, tally: Tally) -> None:
    """Let some processes write, the power fail, and look in another boot."""
    boot = host.Boot(f"boot {number}", 1_700_000_000)
    running: list[Fork] = []
    full = number % 2 == 1
    try:
        running.extend(lives.begin(random, boot, full=full, operations=ENDLESS) for _ in range(PROCESSES))
        time.sleep(random.uniform(0.05, 0.2))
        disk.shut_down()
    finally:
        for each in running:
            each.end()
    disk.unmount()
    disk.mount()
    histories = lives.histories()
    tally.operations += lives.operations()
    tally.kills += len(running)
    tally.crashes += 1
    states = lives.check(boot._replace(id=f"after {boot.id}"), power_failed=True)
    for name, history in histories.items():
        again = delivered_again(history, states[name])
        if full and again:
            raise Violation(
                "a limited read was given again, with full durability", [*history.events, ("found", states[name])]
            )
        tally.measure("limited reads given again, with interval durability", again)
        tally.measure("operations lost, with interval durability", lost(history, states[name]))


def delivered_again(history: History, found: State) -> int:
    """Return how many reads of a limited session may be delivered once more than was promised."""
    left: dict[str, int] = {}  # of each key, by what was delivered
    name = ""
    for event in history.events:
        if isinstance(event, Begun):
            name = event.name
            continue
        for key, facts in event.effect.items():
            if facts is not None:
                left[key] = facts.reads_left or 0
            elif name == TAKE:
                left[key] = 0
    return max(0, *((facts.reads_left or 0) - left[key] for key, facts in found.items() if key in left), 0)


def lost(history: History, found: State) -> int:
    """Return how many acknowledged operations a power failure has undone."""
    states = history.states[: history.acknowledged + 1]
    return next((number for number, state in enumerate(reversed(states)) if state == found), 0)
