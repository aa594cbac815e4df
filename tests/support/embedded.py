"""The inside of an embedded store: what its engine holds, and what a test does to it that no public call does."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import lmdb
import pytest

import crudjt
from crudjt._backends.embedded.engine import compaction
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.segment import segment_path
from crudjt._backends.embedded.store import EmbeddedStore
from crudjt._core.changes import LABEL, SESSION, SUBJECT

_ALL = 10**9


def engine_of(store: crudjt.Store) -> Engine:
    """Return the engine of an embedded store. Other tests reach it through here only."""
    assert isinstance(store, EmbeddedStore)
    return store._engine  # pyright: ignore[reportPrivateUsage] # this module is the one that may


# What it holds


def stored(store: crudjt.Store) -> dict[bytes, bytes]:
    """Return every record of the view, and every entry of a subject and a label."""
    scan = engine_of(store).scan
    return dict(item for prefix in (SESSION, SUBJECT, LABEL) for item in scan(prefix, prefix, _ALL))


def record_of(store: crudjt.Store, session_id: str) -> bytes:
    """Return the record of a session that is there."""
    record = engine_of(store).get(SESSION + bytes.fromhex(session_id))
    assert record is not None
    return record


def reader_pids(store: crudjt.Store) -> list[str]:
    """Return the process of each reader slot of the view; a process that reads in several threads has several."""
    _title, *slots = engine_of(store).view.env.readers().splitlines()
    return [slot.split()[0] for slot in slots]


def open_readers(store: crudjt.Store) -> int:
    """Return how many read transactions of the view are open, in all processes."""
    _title, *slots = engine_of(store).view.env.readers().splitlines()
    return sum(slot.split()[2] != "-" for slot in slots if slot)


def ends_exactly(store: crudjt.Store) -> bool:
    """Tell whether the log holds nothing behind its end but room, as after every write."""
    engine = engine_of(store)
    end = engine.log_end()
    content = segment_path(engine.log_directory, end.segment).read_bytes()
    return len(content) >= end.end and not content[end.end :].strip(b"\0")


def map_size_of(store: crudjt.Store) -> int:
    """Return how many bytes of the view LMDB has mapped; its file is as large only where the map can be written."""
    return int(engine_of(store).view.env.info()["map_size"])


def disk_has_failed(store: crudjt.Store) -> bool:
    """Tell whether a sync has failed since the store was last recovered."""
    return engine_of(store).control.failed


# What is done to it


def compact(store: crudjt.Store, now_ms: int = 1) -> bool:
    """Replace the log so far by a snapshot; return False where another process does so already."""
    return compaction.compact(engine_of(store), now_ms)


def compaction_is_due(store: crudjt.Store) -> bool:
    """Tell whether the log has grown enough to be replaced."""
    return compaction.compaction_is_due(engine_of(store))


def end_segment(store: crudjt.Store) -> None:
    """Go on writing the log in a new segment."""
    engine_of(store).start_segment()[0].abort()


@contextmanager
def changing_the_view(store: crudjt.Store) -> Generator[Any]:
    """Open a transaction on the view of which the log is told nothing, as if the view had been damaged."""
    engine = engine_of(store)
    with engine.view.begin(write=True) as transaction:
        # The next writer expects a slot for this transaction.
        engine.control.fill_slot(transaction.id(), *engine.control.slot(transaction.id() - 1))
        yield transaction


def spoil(store: crudjt.Store, session_id: str, change: Callable[[bytearray], object]) -> None:
    """Change the record of a session in the view, and in nothing else."""
    key = SESSION + bytes.fromhex(session_id)
    with changing_the_view(store) as transaction:
        record = bytearray(transaction.get(key))
        change(record)
        transaction.put(key, bytes(record))


@contextmanager
def commits_failing(store: crudjt.Store) -> Generator[None]:
    """Let each write find no room in the view when it commits, after the log has its entry."""
    engine = engine_of(store)
    _ = engine.view  # so that a forked child does not put the begin of its own view in the place of this one
    begin = engine.begin

    def begin_failing(*arguments: Any) -> Any:
        transaction = begin(*arguments)
        return _FailingCommit(transaction) if arguments else transaction  # a read passes none

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "begin", begin_failing)
        yield


class _FailingCommit:
    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)

    def commit(self) -> None:
        self._transaction.abort()
        raise lmdb.MapFullError("MDB_MAP_FULL")
