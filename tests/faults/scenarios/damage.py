"""Bytes that are not what was written: found by the store, or without effect, and never an answer.

On disk: flipped, zeroed or cut bytes, entries that are gone, doubled or in another order, files of another time. In the
view: records that differ.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import crudjt
from tests.faults.model.history import Event, History, check_count, look
from tests.faults.model.workload import QUIET, Workload
from tests.faults.tally import Tally, Violation
from tests.support.disks import Machine, bases, entries, segments, spoil_view
from tests.support.embedded import compact, spoil

OPERATIONS = 24
DAMAGES = 30  # of one store
SMALL = 1024**2


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Damage as many stores, each in many ways."""
    tally = Tally()
    for number in range(rounds):
        random = Random(f"{seed} {number}")
        place = directory / "store"
        with pytest.MonkeyPatch.context() as patch:
            machine = Machine(patch)
            key = crudjt.generate_secret_key()
            history = _live(random, place, key)
            tally.operations += history.begun
            for _ in range(DAMAGES):
                _damage_and_open(random, place, key, history, machine)
                tally.faults += 1
            _damage_records(random, place, key, history, tally)
        shutil.rmtree(place)
    return tally


def _live(random: Random, path: Path, key: str) -> History:
    events: list[Event] = []
    with crudjt.open(path, secret_key=key, sync_interval=QUIET, max_size=SMALL) as store:
        workload = Workload(store, random, events.append)
        workload.run(OPERATIONS // 2)
        compact(store, 0)
        workload.run(OPERATIONS // 2)
        for _ in range(3):
            workload.create()
        workload.sync()
    return History(events)


def _damage_and_open(random: Random, path: Path, key: str, history: History, machine: Machine) -> None:
    """Damage a copy; opened in another boot, it must be what it was, or say that it is damaged."""
    copy = path.with_name("damaged")
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("view", "control"))
    spoil_view(copy)
    damage = random.choice(DAMAGE)
    what = (damage.__name__, damage(random, copy))
    machine.reboot()
    try:
        with crudjt.open(copy, secret_key=key, sync_interval=QUIET) as store:
            _sees_all(store, history)
    except (crudjt.StoreCorrupt, crudjt.StoreFormatError):  # the number of the format may be what was damaged
        pass
    except Violation as violation:
        violation.history.append(what)
        raise
    finally:
        shutil.rmtree(copy)


def _sees_all(store: crudjt.Store, history: History) -> None:
    """See that a store which has opened is whole."""
    try:
        seen = look(store, "w", history.tokens)
    except crudjt.StoreError as error:
        raise Violation(f"damage was not found when the store was opened: {error}", history.events) from error
    history.found(seen, [history.states[-1]])
    check_count(store, len(seen.sessions))


def _a_file(random: Random, path: Path) -> Path:
    return random.choice([path / "manifest", *segments(path), *bases(path)])


def flipped(random: Random, path: Path) -> str:
    """Flip some bits of one byte, often near the start of an entry or of a page."""
    file = _a_file(random, path)
    content = bytearray(file.read_bytes())
    at = random.randrange(len(content))
    if file in segments(path) and (found := entries(file)):
        at = min(random.choice(found).offset + random.randrange(64), len(content) - 1)
    content[at] ^= random.randrange(1, 256)
    file.write_bytes(content)
    return f"{file.name} at {at}"


def zeroed(random: Random, path: Path) -> str:
    """Lose a sector or a page."""
    file = _a_file(random, path)
    content = bytearray(file.read_bytes())
    size = random.choice([512, 4096])
    at = random.randrange(len(content)) // size * size
    content[at : at + size] = bytes(len(content[at : at + size]))
    file.write_bytes(content)
    return f"{file.name} at {at}, {size} bytes"


def cut(random: Random, path: Path) -> str:
    """Lose the end."""
    file = _a_file(random, path)
    size = random.randrange(file.stat().st_size)
    with file.open("r+b") as opened:
        opened.truncate(size)
    return f"{file.name} to {size}"


def emptied(random: Random, path: Path) -> str:
    """Lose every entry from one on, in a file of the same size: zeros look like room that was allocated ahead."""
    file = random.choice([segment for segment in segments(path) if entries(segment)])
    content = file.read_bytes()
    at = random.choice(entries(file)).offset
    file.write_bytes(content[:at] + bytes(len(content) - at))
    return f"{file.name} at {at}"


def gone(random: Random, path: Path) -> str:
    """Lose a file."""
    file = _a_file(random, path)
    file.unlink()
    return file.name


def _entries_in_another_order(random: Random, path: Path, order: Callable[[list[bytes]], list[bytes]]) -> str:
    segment = max(segments(path), key=lambda file: file.stat().st_size)
    content = segment.read_bytes()
    found = entries(segment)
    parts = [content[entry.offset : entry.end] for entry in found]
    segment.write_bytes(content[: found[0].offset] + b"".join(order(parts)))
    return segment.name


def entry_lost(random: Random, path: Path) -> str:
    """Lose an entry in the middle, so that the rest closes up."""

    def order(parts: list[bytes]) -> list[bytes]:
        at = random.randrange(len(parts))
        return parts[:at] + parts[at + 1 :]

    return _entries_in_another_order(random, path, order)


def entry_doubled(random: Random, path: Path) -> str:
    """Have an entry twice."""

    def order(parts: list[bytes]) -> list[bytes]:
        at = random.randrange(len(parts))
        return [*parts[: at + 1], *parts[at:]]

    return _entries_in_another_order(random, path, order)


def entries_swapped(random: Random, path: Path) -> str:
    """Have two neighbours in the wrong order."""

    def order(parts: list[bytes]) -> list[bytes]:
        at = random.randrange(len(parts) - 1)
        return [*parts[:at], parts[at + 1], parts[at], *parts[at + 2 :]]

    return _entries_in_another_order(random, path, order)


DAMAGE = [flipped, flipped, zeroed, emptied, cut, gone, entry_lost, entry_doubled, entries_swapped]


def _damage_records(random: Random, path: Path, key: str, history: History, tally: Tally) -> None:
    """Change one byte of each record in the view: no call may answer as if the session were not there, or another."""
    with crudjt.open(path, secret_key=key, sync_interval=QUIET) as store:
        tokens = [facts.token for facts in history.states[-1].values() if facts.token]
        for token in tokens:
            session = store.peek(token)
            if session is None:
                raise Violation("a session is gone", history.events)
            _damage_record(random, store, session)
            tally.faults += 1
            calls: dict[str, Callable[[], object]] = {
                "peek": lambda token=token: store.peek(token),  # type: ignore[misc] # mypy does not infer lambdas with defaults
                "read": lambda token=token: store.read(token),  # type: ignore[misc] # as above
                "touch": lambda token=token: store.touch(token, ttl=1),  # type: ignore[misc] # as above
                "update": lambda token=token: store.update(token, {}),  # type: ignore[misc] # as above
                "rotate": lambda token=token: store.rotate(token),  # type: ignore[misc] # as above
            }
            for name, call in calls.items():
                try:
                    answer = call()
                except crudjt.StoreCorrupt:
                    continue
                raise Violation(f"{name} of a damaged record answered {answer!r}", [token])


def _damage_record(random: Random, store: crudjt.Store, session: crudjt.Session) -> None:
    def change(record: bytearray) -> None:
        at = random.choice([random.randrange(len(record)), 16])  # often the deadline: it would say that all is over
        record[at] ^= random.randrange(1, 256)

    spoil(store, session.id, change)
