"""Processes that are killed, at random and at named points; stopped; gone without a word; their ids used again.

Nothing that was acknowledged may be missing, nothing may be half done, and the log must say what the view says.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from mmap import mmap
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import crudjt
from crudjt import _filesystem
from crudjt._backends.embedded.engine import engine, recovery
from crudjt._backends.embedded.engine.control_block import ControlBlock
from crudjt._backends.embedded.engine.mmap_writer import MappedSegmentWriter
from crudjt._backends.embedded.engine.segment_writer import SegmentWriter
from crudjt._backends.embedded.engine.view import View
from crudjt._backends.embedded.read_cache import ReadCache
from crudjt._filesystem import contents, host
from tests.faults.model.lives import Lives, finished
from tests.faults.tally import Tally
from tests.support.processes import Fork

STORMERS = 3
STORM_KILLS = 8
POINT_KILLS = 12
ENDLESS = 10**9
BOOT = host.Boot("boot 0", 1_700_000_000)

COMMIT = "commit"
COPY = "copy"  # of an entry into the map of the log: half of it is there, or all

# Between what comes before such a call and what comes after it, a process may die.
POINTS: list[tuple[Any, str] | str] = [
    (_filesystem, "write_at"),
    (_filesystem, "truncate"),
    (_filesystem, "sync_data"),
    (_filesystem, "sync_directory"),
    (_filesystem, "publish"),
    (_filesystem, "remove"),
    (_filesystem, "allocate"),
    (_filesystem, "map_window"),
    (contents, "copy_file"),
    (engine, "pack_slot"),
    (ControlBlock, "create"),
    (ControlBlock, "begin"),
    (MappedSegmentWriter, "append"),
    (MappedSegmentWriter, "append_to_sync"),
    (MappedSegmentWriter, "cut"),
    (SegmentWriter, "mark_synced"),
    (View, "copy"),
    (View, "make_room"),
    (View, "close"),
    (ReadCache, "keep"),
    (engine, "encode_change"),
    (engine, "encode_entry"),
    (engine, "create_segment"),
    (recovery, "write_base"),
    (recovery, "remove_obsolete"),
    (recovery, "_apply"),
    COMMIT,
    COPY,
]


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Kill many times, on as many stores."""
    tally = Tally()
    for number in range(rounds):
        random = Random(f"{seed} {number}")
        for name, part in (("storm", storm), ("points", points)):
            place = directory / f"{name}-{number}"
            place.mkdir()
            part(random, place, tally)
            shutil.rmtree(place)
    return tally


def _lives(directory: Path) -> Lives:
    journals = directory / "journals"
    journals.mkdir()
    return Lives(directory / "store", journals, crudjt.generate_secret_key())


# At random


def storm(random: Random, directory: Path, tally: Tally) -> None:
    """Several processes do everything at once; again and again one of them dies, in one way or another."""
    lives = _lives(directory)
    running: list[Fork] = []
    try:
        for _ in range(STORM_KILLS):
            while len(running) < STORMERS:
                operations = random.choice([ENDLESS, ENDLESS, 30])  # or it leaves by itself, without closing
                running.append(lives.begin(random, BOOT, full=random.random() < 0.3, operations=operations))
            time.sleep(random.uniform(0.003, 0.06))
            victim = running.pop(random.randrange(len(running)))
            if random.random() < 0.3:
                os.kill(victim.pid, signal.SIGSTOP)
                time.sleep(random.uniform(0.001, 0.02))
            _end(victim, lives)
            tally.kills += 1
        for victim in running:
            _end(victim, lives)
            tally.kills += 1
    finally:
        for each in running:
            each.end()
    tally.operations += lives.operations()
    lives.check(BOOT, power_failed=False)
    lives.check(BOOT._replace(id="boot 1"), power_failed=False)


def _end(victim: Fork, lives: Lives) -> None:
    victim.kill()
    finished(victim, lives.events())


# At named points


def points(random: Random, directory: Path, tally: Tally) -> None:
    """One process after the other dies at a named point; the next, perhaps of the same id, finds all in order."""
    lives = _lives(directory)
    boot = BOOT
    reused = 0
    for number in range(POINT_KILLS):
        if random.random() < 0.5:
            boot = BOOT._replace(id=f"boot {number}")  # so that it makes the view again, and may die at that
        point = random.choice(POINTS)
        before = partial(_arrange, point, random.randrange(6), random.random() < 0.5)
        fork = lives.begin(random, boot, full=random.random() < 0.5, operations=30, before=before)
        pid = fork.pid
        finished(fork, lives.events())
        tally.kills += 1
        tally.operations += lives.operations()
        lives.check(boot, power_failed=False, pid=pid)
        reused += lives.last_pid == pid
    tally.measure("process ids used again", reused)
    lives.check(BOOT._replace(id="the last boot"), power_failed=False)


def _arrange(point: tuple[Any, str] | str, calls: int, after: bool) -> None:
    """Let this process die at one of the next calls of a function, before it does anything or after all."""
    if isinstance(point, str):
        (_arrange_commit if point == COMMIT else _arrange_copy)(calls, after)
        return
    owner, name = point
    static = owner.__dict__[name]
    function: Callable[..., Any] = static.__func__ if isinstance(static, classmethod) else static
    left = calls

    def dying(*arguments: Any, **keywords: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0 and not after:
            _die()
        result = function(*arguments, **keywords)
        if left < 0:
            _die()
        return result

    setattr(owner, name, classmethod(dying) if isinstance(static, classmethod) else dying)


def _arrange_commit(calls: int, after: bool) -> None:
    """Let this process die at one of its next commits, before or after."""
    left = calls
    made = View.__init__

    class Dying:
        def __init__(self, transaction: Any) -> None:
            self._transaction = transaction

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transaction, name)

        def commit(self) -> None:
            nonlocal left
            left -= 1
            if left < 0 and not after:
                _die()
            self._transaction.commit()
            if left < 0:
                _die()

    def make(self: View, directory: Path, max_size: int) -> None:
        made(self, directory, max_size)
        begin = self.begin

        def begin_dying(*arguments: Any, **keywords: Any) -> Any:
            transaction = begin(*arguments, **keywords)
            return Dying(transaction) if arguments else transaction

        self.begin = begin_dying

    View.__init__ = make  # type: ignore[method-assign] # this process ends with the test


def _arrange_copy(calls: int, after: bool) -> None:
    """Let this process die in one of its next copies into a map, with either half of it made, or after it."""
    left = calls

    class Dying(mmap):
        def __setitem__(self, where: Any, data: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0 and not after:
                middle = len(data) // 2
                if calls % 2:
                    super().__setitem__(slice(where.start, where.start + middle), data[:middle])
                else:
                    super().__setitem__(slice(where.start + middle, where.stop), data[middle:])
                _die()
            super().__setitem__(where, data)
            if left < 0:
                _die()

    _filesystem.map_window = lambda descriptor, offset, size: Dying(descriptor, size, offset=offset)


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("alive after SIGKILL")
