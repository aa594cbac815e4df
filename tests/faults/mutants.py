"""Deliberate defects, each of which a scenario has to catch: else the harness, or the guard, proves nothing.

A mutant is a small edit of the source of one function, or another function in its place, made in a process of its own.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from crudjt import _filesystem
from crudjt._backends.embedded.engine import compaction, engine, opening, recovery
from crudjt._backends.embedded.engine.control_block import ControlBlock
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.log import LiveLog
from crudjt._backends.embedded.engine.mmap_writer import MappedSegmentWriter
from crudjt._backends.embedded.engine.segment import (
    SegmentReader,
    SegmentWriter,
)
from crudjt._backends.embedded.store import EmbeddedStore
from crudjt._core.operations import Sessions
from tests.faults.scenarios import crash_states, damage, interleavings, io_errors, kills
from tests.faults.tally import Scenario, Violation
from tests.support.processes import Fork

PATIENCE = 300.0


class Edit(NamedTuple):
    """A passage of a function's source, and what stands there instead."""

    owner: Any
    name: str
    passage: str
    instead: str

    def apply(self) -> None:
        """Change the function in this process, for good."""
        function = inspect.getattr_static(self.owner, self.name)
        source = _edited.get(function) or textwrap.dedent(inspect.getsource(function))
        assert source.count(self.passage) == 1, (
            f"the source of {self.name} has no such passage any more: {self.passage}"
        )
        source = source.replace(self.passage, self.instead)
        names: dict[str, Any] = {}
        exec(source, function.__globals__, names)
        _edited[names[self.name]] = source
        replace(self.owner, self.name, names[self.name])


_edited: dict[Any, str] = {}  # the source of functions that were edited, for a second edit


def replace(owner: Any, name: str, function: Any) -> None:
    """Put another function in the place of one, also where other modules have taken its name."""
    before = getattr(owner, name)
    setattr(owner, name, function)
    for module in (engine, compaction, opening, recovery):
        if getattr(module, name, None) is before:
            setattr(module, name, function)


class Mutant(NamedTuple):
    """A defect, how to make it, and who catches it."""

    name: str
    make: tuple[Edit, ...] | Callable[[], None]
    scenario: Scenario
    rounds: int
    quick: bool = False  # caught in about a second

    def apply(self) -> None:
        if callable(self.make):
            self.make()
        else:
            for edit in self.make:
                edit.apply()


class Verdict(NamedTuple):
    """Whether a mutant was caught, and by which promise."""

    mutant: Mutant
    caught: bool
    by: str


def _rotate_in_two_transactions() -> None:
    def rotate(self: Any, token: str) -> str | None:
        later: list[Any] = []

        def first(reader: Any) -> tuple[str | None, list[Any]]:
            new, changes = self._sessions.rotate(reader, token, None, self._clock())
            later.extend(changes[:1])
            return new, changes[1:]

        new: str | None = self._write(first)
        self._write(None, *later)
        return new

    replace(EmbeddedStore, "rotate", rotate)


def _without_directory_syncs() -> None:
    replace(_filesystem, "sync_directory", lambda _path: None)


def _without_cutting() -> None:
    replace(SegmentWriter, "cut", lambda _self, _end: False)


def _without_giving_room_back() -> None:
    replace(MappedSegmentWriter, "cut", SegmentWriter.cut)


def _without_cutting_after_the_dead() -> None:
    replace(LiveLog, "cut_unfinished", lambda _self, _number: None)


def _edit(owner: Any, name: str, passage: str, instead: str) -> tuple[Edit, ...]:
    return (Edit(owner, name, passage, instead),)


_WORDS_AFTER = "for word in ends:\n        words[word] = number"

MUTANTS = [
    Mutant(
        "the end word is written before the commit",
        _edit(Engine, "write", "ends.append(begin + CACHE_PAIRS)", "words[begin + CACHE_PAIRS] = number"),
        interleavings.run, 2, quick=True,
    ),
    Mutant(
        "the begin word is written after the commit",
        (
            Edit(Engine, "write", "words[begin] = number  #", "pass  #"),
            Edit(Engine, "write", _WORDS_AFTER, _WORDS_AFTER + "\n        words[word - CACHE_PAIRS] = number"),
        ),
        interleavings.run, 2, quick=True,
    ),
    Mutant(
        "the cache is filled without its check",
        _edit(EmbeddedStore, "_read_view", "if begin != end:", "if False:"),
        interleavings.run, 2, quick=True,
    ),
    Mutant(
        "the cache is used without its check",
        _edit(EmbeddedStore, "read", "self._words[entry.word] == entry.noted and ", ""),
        interleavings.run, 2, quick=True,
    ),
    Mutant("no directory is synced", _without_directory_syncs, crash_states.run, 2, quick=True),
    Mutant(
        "only the last of the new directories above a store is synced",
        _edit(
            _filesystem, "make_directories",
            "make_directories(path.parent, _PARENTS_MODE)", "path.parent.mkdir(parents=True)",
        ),
        crash_states.run, 2, quick=True,
    ),
    Mutant(
        "a file is renamed before it is synced",
        _edit(_filesystem, "replace_file", "sync_data(descriptor)", "pass"),
        crash_states.run, 4, quick=True,
    ),
    Mutant(
        "a base is renamed before it is synced",
        _edit(recovery, "write_base", "files.sync_data(target)", "pass"),
        crash_states.run, 8,
    ),
    Mutant(
        "old segments go before the manifest names the base",
        _edit(
            compaction, "compact",
            "        msgspec.structs", "        remove_obsolete(engine.directory, base)\n            msgspec.structs",
        ),
        crash_states.run, 8,
    ),
    Mutant("what a failed write left is not cut off", _without_cutting, crash_states.run, 30),
    Mutant("the entry of a dead writer is not cut off", _without_cutting_after_the_dead, kills.run, 6),
    Mutant(
        "a cut is not synced",
        _edit(LiveLog, "cut_unfinished", "self.sync(before)", "pass"),
        crash_states.run, 60,
    ),
    Mutant(
        "an entry is copied without a look at the room",
        _edit(MappedSegmentWriter, "append", " or end > self._words[WORD_LOG_ALLOCATED]", ""),
        kills.run, 12,
    ),
    Mutant("a cut does not say that the room is gone", _without_giving_room_back, kills.run, 12),
    Mutant(
        "zeros before the synced mark are taken for room",
        _edit(recovery, "check_tail", "if end < reader.synced_end", "if len(reader.content) < reader.synced_end"),
        damage.run, 4, quick=True,
    ),
    Mutant(
        "an entry is accepted without its CRC",
        _edit(SegmentReader, "entry_at", "crc32(body, self.header.crc_salt) != crc", "False"),
        damage.run, 16, quick=True,
    ),
    Mutant(
        "the sequence of an entry is not checked",
        _edit(SegmentReader, "entries", "entry.sequence != sequence", "False"),
        damage.run, 4, quick=True,
    ),
    Mutant(
        "a sync is tried again after one has failed",
        _edit(LiveLog, "sync", "self._control.fail()", "pass"),
        crash_states.run, 4, quick=True,
    ),
    Mutant(
        "the synced mark is written before the sync",
        _edit(
            LiveLog, "sync",
            "writer.sync()\n        writer.mark_synced(target.end)",
            "writer.mark_synced(target.end)\n        writer.sync()",
        ),
        crash_states.run, 8,
    ),
    Mutant(
        "a recovery from a failed sync marks the old segment as synced",
        _edit(recovery, "_settle_tail", "if not doubtful:", "if True:"),
        crash_states.run, 12,
    ),
    Mutant(
        "a recovery from a failed sync writes nothing anew",
        _edit(recovery, "rebuild", "if fresh_base:", "if False:"),
        crash_states.run, 8,
    ),
    Mutant(
        "a torn tail is not cut off",
        _edit(recovery, "_settle_tail", "writer.cut(end)", "pass"),
        crash_states.run, 12,
    ),
    Mutant(
        "full durability does not wait",
        _edit(Engine, "write", "if durable:", "if False:"),
        crash_states.run, 4, quick=True,
    ),
    Mutant(
        "a delete is not logged",
        _edit(
            Engine, "write",
            "encode_entry(sequence, changes,", "encode_entry(sequence, [each for each in changes if each[0] != 3],",
        ),
        crash_states.run, 4, quick=True,
    ),
    Mutant("a rotate is two transactions", _rotate_in_two_transactions, crash_states.run, 8),
    Mutant(
        "the log is written after the commit",
        _edit(
            Engine, "write",
            "writer.append(entry, end)\n            transaction.commit()",
            "transaction.commit()\n            writer.append(entry, end)",
        ),
        kills.run, 12,
    ),
    Mutant(
        "the log end is kept in one slot",
        (
            Edit(ControlBlock, "slot", "_STATE_OFFSETS[transaction & 1]", "_STATE_OFFSETS[0]"),
            Edit(ControlBlock, "fill_slot", "_SLOT_OFFSETS[transaction & 1]", "_SLOT_OFFSETS[0]"),
        ),
        kills.run, 6,
    ),
    Mutant(
        "a refused write is not undone",
        _edit(Engine, "_abort", "transaction.abort()\n", "transaction.commit()\n"),
        io_errors.run, 1,
    ),
    Mutant(
        "a header is believed before the record is opened",
        _edit(Sessions, "find_live", "self.open(found)", "pass"),
        damage.run, 4, quick=True,
    ),
]  # fmt: skip


def judge(mutant: Mutant, seed: int, directory: Path) -> Verdict:
    """Run a mutant against its scenario, in a process of its own."""
    by = Fork(_run, mutant, seed, directory).wait(PATIENCE).result
    return Verdict(mutant, by is not None, by or "")


def _run(mutant: Mutant, seed: int, directory: Path) -> str | None:
    """Return the promise that was seen broken, or whatever else went wrong."""
    mutant.apply()
    try:
        mutant.scenario(seed, mutant.rounds, directory)
    except Violation as violation:
        return violation.promise
    except Exception as error:  # noqa: BLE001 - whatever it is, it would not have gone unseen
        return f"{type(error).__name__}: {error}"
    return None


def verdicts(seed: int, directory: Path, mutants: list[Mutant]) -> Iterator[Verdict]:
    """Judge mutants, one after the other."""
    for number, mutant in enumerate(mutants):
        place = directory / f"mutant-{number}"
        place.mkdir()
        yield judge(mutant, seed, place)
