"""A reader with a cache, let in at each step of a change: it never sees the old once anybody has seen the new.

The reader is another store on the same engine, with a read cache of its own, so its steps can be put between those of
the writer. At each of them it looks into the view first and then reads; after the change it reads again.

A processor may change the order of a reader's loads: the snapshot may be older than the word that was noted before it.
So in some changes the reader takes its snapshot at the step, and the rest of that read comes after the change.

A slot of the control block is read while a later writer fills it, whose stores are seen in any order.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

import crudjt
from crudjt._backends.embedded.engine import engine
from crudjt._backends.embedded.engine.control_block import SLOT_WORDS
from crudjt._backends.embedded.engine.mmap_writer import MappedSegmentWriter
from tests.faults.model.workload import QUIET
from tests.faults.tally import Tally, Violation
from tests.support.embedded import engine_of

CHANGES = 200
POINTS = ("pack_slot", "append", "before commit", "after commit")


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Make as many hundred changes, each with a reader at one of its steps."""
    tally = Tally()
    place = directory / "store"
    key = crudjt.generate_secret_key()
    for number in range(rounds):
        random = Random(f"{seed} {number}")
        with (
            crudjt.open(place, secret_key=key, sync_interval=QUIET) as writer,
            crudjt.open(place, secret_key=key, sync_interval=QUIET) as reader,
        ):
            for _ in range(CHANGES):
                one_change(random, writer, reader)
                torn_slot(random, writer)
                tally.operations += 2
        shutil.rmtree(place)
    return tally


def one_change(random: Random, writer: crudjt.Store, reader: crudjt.Store) -> None:
    token = writer.create({"v": 0})
    changes: list[tuple[str, Callable[[], object], object]] = [
        ("update", lambda: writer.update(token, {"v": 1}), {"v": 1}),
        ("delete", lambda: writer.delete(token), None),
        ("rotate", lambda: writer.rotate(token), None),
        ("delete_many", lambda: writer.delete_many([token]), None),
    ]
    name, change, after = random.choice(changes)
    point = random.choice(POINTS)
    if random.random() < 0.7:
        shown(reader.read(token))  # so that it is cached

    taken: list[Any] = []
    reorders = random.random() < 0.3

    def visit() -> None:
        if reorders:
            taken.append(engine_of(reader).view.snapshot())
        else:
            look(reader, token, after, (name, point))

    with let_in(writer, point, visit):
        change()
    for snapshot in taken:
        with reading_from(reader, snapshot):
            reader.read(token)
    for _ in range(2):
        seen = shown(reader.read(token))
        if seen != after:
            raise Violation(f"after {name}, read answers {seen}: the cache is stale", [name, point, seen])


def torn_slot(random: Random, writer: crudjt.Store) -> None:
    """Read where the log ended after a transaction, while the next but one writes its own end to the same slot."""
    opened = engine_of(writer)
    last, ended = opened.view.last_transaction, opened.log_end()
    token = writer.create({})

    def store_in_any_order(buffer: Any, offset: int, *fields: int) -> None:
        words = list(enumerate(field & 2**64 - 1 for field in fields))
        random.shuffle(words)
        for word, value in words:
            opened.words[offset // 8 + word] = value
            seen = opened.control.log_end(last)
            if seen not in (None, ended):
                raise Violation(f"the log end of a transaction is mixed with a later one: {seen}", [last, word])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "pack_slot", store_in_any_order)
        change: Callable[[], object] = random.choice([lambda: writer.create({"v": 1}), lambda: writer.delete(token)])
        change()
    if opened.words[SLOT_WORDS[last & 1]] == last:
        raise Violation("the slot was not written", [last])


def look(reader: crudjt.Store, token: str, after: object, what: tuple[str, str]) -> None:
    """Look at the view, and then read through the cache."""
    peeked, read = shown(reader.peek(token)), shown(reader.read(token))
    if peeked == after != read:
        raise Violation(f"in {what[0]}, at {what[1]}, the cache is staler than the view", [*what, peeked, read])


def shown(session: crudjt.Session | None) -> object:
    return session and session.data


@contextmanager
def reading_from(store: crudjt.Store, snapshot: Any) -> Iterator[None]:
    """Let the reads of a block see a snapshot that was taken before, which ends with the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_of(store), "begin", lambda: snapshot)
        yield
    snapshot.abort()


@contextmanager
def let_in(writer: crudjt.Store, point: str, visit: Callable[[], None]) -> Iterator[None]:
    """Call `visit` at a step of the changes of a block."""
    opened = engine_of(writer)
    begin = opened.begin

    class Visited:
        def __init__(self, transaction: Any) -> None:
            self._transaction = transaction

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transaction, name)

        def commit(self) -> None:
            if point == "before commit":
                visit()
            self._transaction.commit()
            if point == "after commit":
                visit()

    def begin_visited(*arguments: Any) -> Any:
        transaction = begin(*arguments)
        return Visited(transaction) if arguments else transaction

    def visited(owner: Any, name: str) -> Callable[..., Any]:
        function = getattr(owner, name)

        def call(*arguments: Any) -> Any:
            visit()
            return function(*arguments)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opened, "begin", begin_visited)
        places: list[tuple[Any, str]] = [(engine, "pack_slot"), (MappedSegmentWriter, "append")]
        for owner, name in places:
            if name == point:
                patch.setattr(owner, name, visited(owner, name))
        yield
