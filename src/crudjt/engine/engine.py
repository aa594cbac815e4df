"""The engine of one open store in one process: the write path, and syncing.

A write transaction is, in this order: begin; read what is needed and decide; change the view; append one entry to the
log; state the new log end; commit. Whatever fails before the commit leaves log and view as they were. Whoever dies
before it leaves a view without the change, and an entry past the log end that the next writer cuts off.
"""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

import msgspec

from crudjt.clock import NS_PER_MS, system_clock
from crudjt.engine import control as control_block
from crudjt.engine import files, manifest
from crudjt.engine.control import WORD_ATTENTION, ControlBlock, LogEnd, LogState, pair_word, slot_word
from crudjt.engine.log import HEADER_BLOCK_BYTES, INSERT, REPLACE, Change, SegmentWriter, create_segment, encode_entry
from crudjt.engine.view import (
    SEGMENT_KEY,
    SESSION,
    SUBJECT,
    WRITES_PER_CHECK,
    Snapshot,
    View,
    ViewError,
    translated,
)
from crudjt.errors import StoreClosed, StoreError, StoreFailed, StoreFull
from crudjt.records import HEADER_BYTES, NO_SUBJECT, TAG_OFFSET

CONTROL_FILE = "control"
VIEW_DIRECTORY = "view"
LOG_DIRECTORY = "log"
BASE_DIRECTORY = "base"

_SMALL_CHANGES = 4
_SMALL_RECORD_BYTES = 1024

logger = logging.getLogger("crudjt")

Result = TypeVar("Result")


class Reader(Protocol):
    """What a decision may read: the view as of the last commit."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""


Decision = Callable[..., tuple[Result, Sequence[Change]]]


class Engine:
    """An open store directory; shared by every `Store` of the process that opened it.

    `begin` starts a transaction of the view. It is an attribute, not a method, since it is also where a closed store
    and a forked child are met, at no cost to the others.
    """

    def __init__(self, directory: Path, lock: int, ready: manifest.Manifest) -> None:
        """Open the parts of a store that is ready; `lock` is the descriptor of its lock, held in shared mode."""
        self.directory = directory
        self.salt = bytes.fromhex(ready.salt)
        self.map_size = ready.map_size
        self._lock = lock
        self._syncing = threading.Lock()
        self._reviving = threading.Lock()
        self._segment: SegmentWriter | None = None
        self.control = ControlBlock(directory / CONTROL_FILE)
        self.words = self.control.words
        self._view: View | None = View(directory / VIEW_DIRECTORY, ready.map_size)
        self.begin: Callable[..., Any] = self._view.begin
        self.on_revival: Callable[[], None] = lambda: None

    @property
    def log_directory(self) -> Path:
        """Where the segments lie."""
        return self.directory / LOG_DIRECTORY

    @property
    def base_directory(self) -> Path:
        """Where the snapshots lie."""
        return self.directory / BASE_DIRECTORY

    @property
    def view(self) -> View:
        """The open view."""
        return self._view or self._reopen_view()

    # Reading

    def get(self, key: bytes) -> bytes | None:
        """Return a value of the view as last committed, without a lock."""
        try:
            transaction = self.begin()
            try:
                value: bytes | None = transaction.get(key)
            finally:
                transaction.abort()
        except ViewError as error:
            raise self._translated(error) from error
        if self.words[control_block.WORD_FAILED]:
            self._refuse()
        return value

    def scan(self, prefix: bytes, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` items of the view whose keys have `prefix`, from the key `start` on."""
        try:
            return self.view.scan(prefix, start, limit)
        except ViewError as error:
            raise self._translated(error) from error

    def log_end(self) -> LogEnd:
        """Return where the log ends as of the last commit."""
        while True:
            last = self.view.last_transaction
            end = LogEnd._make(self.control.slot(last))
            if self.control.holds(last):  # else a later writer was filling the slot while it was read
                return end

    # Writing

    def write(  # noqa: C901 - begin to commit stays in one function: storage facts in docs/decisions.md
        self, decide: Decision[Result], *arguments: Any, durable: bool = False
    ) -> Result:
        """Run one write transaction and return what `decide` says.

        `decide` gets a `Reader` and the arguments, and returns a result and the changes to make, at most one for an id.
        It must not change anything itself. With `durable`, return only after the changes are on disk.

        Raises:
            StoreFull: no room; nothing was changed.
            StoreFailed: the disk failed now or earlier.

        """
        try:
            transaction = self.begin(None, None, True)  # noqa: FBT003 - keywords cost a tenth of a write
        except ViewError as error:
            raise self._translated(error) from error
        try:
            number = transaction.id()
            segment, end, sequence, sessions = self._prepare(number)
            result, changes = decide(transaction, *arguments)
            if not changes:
                transaction.abort()
                return result
            if len(changes) > _SMALL_CHANGES or len(changes[0][2]) > _SMALL_RECORD_BYTES:
                self._make_room(changes)
            words = self.words
            ends = []
            for kind, id_, record in changes:
                if kind == INSERT:  # nobody can have cached what did not exist
                    transaction.put(SESSION + id_, record)
                    sessions += 1
                    tag = record[TAG_OFFSET:HEADER_BYTES]
                    if tag != NO_SUBJECT:
                        transaction.put(SUBJECT + tag + id_, b"")
                    continue
                pair = pair_word(id_)
                words[pair] = number  # before the commit: no cache may hold across it
                ends.append(pair + 1)
                if kind == REPLACE:
                    transaction.put(SESSION + id_, record)
                    continue
                transaction.delete(SESSION + id_)
                sessions -= 1
                tag = record[TAG_OFFSET:HEADER_BYTES]
                if tag != NO_SUBJECT:
                    transaction.delete(SUBJECT + tag + id_)
            writer = self._segment
            if writer is None or writer.number != segment:
                writer = self._segment_writer(segment)
            sequence += 1
            entry = encode_entry(sequence, changes, writer.crc_salt)
            self.control.fill_slot(number, segment, end + len(entry), sequence, sessions)
            writer.append(entry, end)
            transaction.commit()
        except BaseException as error:
            self._abort(transaction, error)
            raise
        for word in ends:
            words[word] = number
        if durable:
            self.sync_to(sequence)
        return result

    def start_segment(self) -> tuple[LogEnd, Snapshot]:
        """End the current segment, durably, and begin the next.

        Returns where the log stands at the start of the new segment, and a snapshot of the view at just that point.
        """
        transaction = self.begin(None, None, True)  # noqa: FBT003 - as in write
        try:
            number = transaction.id()
            segment, end, sequence, sessions = self._prepare(number)
            self._sync_segment(LogEnd(segment, end, sequence, sessions))
            create_segment(self.log_directory, segment + 1, sequence + 1, self.salt)
            msgspec.structs.replace(manifest.load(self.directory), segment=segment + 1).save(self.directory)
            started = LogEnd(segment + 1, HEADER_BLOCK_BYTES, sequence, sessions)
            transaction.put(SEGMENT_KEY, started.segment.to_bytes(8, "little"))
            snapshot = self.view.snapshot()
            self.control.fill_slot(number, *started)
            transaction.commit()
        except BaseException as error:
            self._abort(transaction, error)
            raise
        self.words[control_block.WORD_SYNCED_END] = HEADER_BLOCK_BYTES
        self.words[control_block.WORD_SEALED_BYTES] += end
        return started, snapshot

    def _prepare(self, number: int) -> LogState:
        """Begin transaction `number`: return where the log ends, with nothing behind it."""
        words = self.words
        if number >= words[WORD_ATTENTION] or words[slot_word(number)] == number:
            self._attend(number)
        return self.control.slot(number - 1)

    def _attend(self, number: int) -> None:
        """Do what not every transaction has to."""
        words = self.words
        if words[control_block.WORD_FAILED]:
            self._refuse()
        if self.control.holds(number):  # a writer of this number died or failed before its commit
            before = LogEnd._make(self.control.slot(number - 1))
            self._segment_writer(before.segment).cut(before.end)
        if number >= words[WORD_ATTENTION]:
            self._reserve(0)
            words[WORD_ATTENTION] = number + WRITES_PER_CHECK
            if words[control_block.WORD_FAILED]:  # noted just now by a sync that failed
                words[WORD_ATTENTION] = 0
                self._refuse()

    def _make_room(self, changes: Sequence[Change]) -> None:
        self._reserve(sum(8 + 2 * len(record) // files.PAGE_BYTES for _, _, record in changes))

    def _reserve(self, pages: int) -> None:
        allocated = self.words[control_block.WORD_ALLOCATED]
        self.words[control_block.WORD_ALLOCATED] = self.view.reserve(allocated, pages)

    def _abort(self, transaction: Any, error: BaseException) -> None:
        """End a transaction that failed, and raise our error for one of LMDB's or the disk's.

        An entry that the log holds already stays behind the log end, for the next writer to cut off: it alone has the
        write lock, and knows that the commit did not happen.
        """
        with suppress(ViewError):
            transaction.abort()
        if isinstance(error, ViewError):
            raise self._translated(error) from error
        if isinstance(error, OSError):
            raise self._full_or_failed(error) from error

    # Syncing

    def sync(self) -> None:
        """Return when all that was committed before the call is on disk."""
        self.sync_to(self.log_end().sequence)

    def sync_to(self, sequence: int) -> None:
        """Return when the entry `sequence` is on disk. Threads that wait here share one sync.

        Raises:
            StoreFailed: the sync failed. It is never tried again: the kernel may have dropped what it could not write.

        """
        words = self.words
        while words[control_block.WORD_SYNCED_SEQUENCE] < sequence:
            with self._syncing:
                if words[control_block.WORD_FAILED]:
                    self._refuse()
                if words[control_block.WORD_SYNCED_SEQUENCE] < sequence:
                    self._sync_segment(self.log_end())

    def _sync_segment(self, target: LogEnd) -> None:
        """Sync the segment in which `target` lies; those before it were synced when they ended."""
        try:
            writer = self._segment_writer(target.segment)
        except FileNotFoundError:
            return  # another process has ended it, and synced it, meanwhile
        try:
            writer.sync()
            writer.mark_synced(target.end)
        except OSError as error:
            self.control.fail()
            raise StoreFailed(
                self.directory, "a sync to disk failed; close the store everywhere and reopen it"
            ) from error
        self.words[control_block.WORD_SYNCED_END] = target.end
        self.words[control_block.WORD_SYNCED_SEQUENCE] = target.sequence
        self.words[control_block.WORD_SYNCED_AT] = system_clock() // NS_PER_MS

    def _segment_writer(self, number: int) -> SegmentWriter:
        writer = self._segment
        if writer is None or writer.number != number:
            writer = self._segment = SegmentWriter(self.log_directory, number)
        return writer

    # Ending, forking, failing

    def close(self) -> None:
        """Sync and close. Other processes are not touched."""
        try:
            if self._view is not None and not self.control.failed:
                self.sync()
        finally:
            self.begin = _refuse_closed
            with self._syncing:
                if self._view is not None:
                    self._view.close()
                if self._segment is not None:
                    self._segment.close()
            os.close(self._lock)

    def abandon(self) -> None:
        """In a forked child: let go of what cannot be inherited, and reopen it at the first use."""
        self._syncing = threading.Lock()
        self._reviving = threading.Lock()
        if self._view is not None:
            self._view.abandon()
            self._view = None
        self.begin = self._reopen_and_begin

    def _reopen_and_begin(self, *arguments: Any) -> Any:
        return self._reopen_view().begin(*arguments)

    def _reopen_view(self) -> View:
        with self._reviving:
            if self._view is None:
                self._view = View(self.directory / VIEW_DIRECTORY, self.map_size)
                self.begin = self._view.begin
                self.on_revival()
            return self._view

    def _translated(self, error: ViewError) -> StoreError:
        return StoreClosed() if self.begin is _refuse_closed else translated(error, self.directory)

    def _full_or_failed(self, error: OSError) -> StoreError:
        if error.errno in files.DISK_FULL_ERRNOS:
            return StoreFull(self.directory, "the disk is full")
        return StoreFailed(self.directory, f"writing failed: {os.strerror(error.errno or 0)}")

    def _refuse(self) -> NoReturn:
        raise StoreFailed(self.directory, "the disk failed earlier; close the store in every process and reopen it")


def _refuse_closed(*_: Any) -> NoReturn:
    raise StoreClosed
