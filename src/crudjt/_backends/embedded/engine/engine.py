"""The engine of one open store in one process: write transactions.

A write transaction is, in this order: begin; read what is needed and decide; change the view; append one entry to the
log; state the new log end; commit. A failure before the commit leaves log and view as they were. A process
that dies before it leaves a view without the change, and an entry past the log end that the next writer cuts off.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, overload

import msgspec

from crudjt._backends.embedded.engine import control_block, manifest
from crudjt._backends.embedded.engine.control_block import (
    CACHE_WORDS_MASK,
    FIRST_CACHE_WORD,
    SLOT_OFFSETS,
    WORD_ATTENTION,
    WORD_LOG_ALLOCATED,
    LogEnd,
    pack_slot,
    unpack_even,
    unpack_last,
    unpack_odd,
)
from crudjt._backends.embedded.engine.filed import Filed
from crudjt._backends.embedded.engine.live_directory import LiveDirectory
from crudjt._backends.embedded.engine.lmdb_errors import MAX_SIZE_REACHED
from crudjt._backends.embedded.engine.mmap_writer import RESERVE_BYTES
from crudjt._backends.embedded.engine.os_errors import store_error
from crudjt._backends.embedded.engine.room import (
    SMALL_RECORD_BYTES,
    ends_sessions,
    new_pages,
    reserve_to_leave,
    weight,
)
from crudjt._backends.embedded.engine.segment import (
    HEADER_BLOCK_BYTES,
    encode_change,
    encode_ended,
    encode_entry,
    segment_path,
)
from crudjt._backends.embedded.engine.segment_writer import create_segment
from crudjt._backends.embedded.engine.view import SEGMENT_KEY, SizeReached, Snapshot, ViewError
from crudjt._backends.embedded.engine.view_changes import apply, file_labels, needs_room, put_new, unfile_labels
from crudjt._backends.embedded.engine.write_lock import watch
from crudjt._core.changes import INSERT, REPLACE, SESSION, SUBJECT, Change, Decision, Known, Reader, Result
from crudjt._core.gil import free_in_batches
from crudjt._core.header import FLAGS_OFFSET, HAS_LABELS, HAS_SUBJECT, HEADER_BYTES, TAG_OFFSET
from crudjt._core.moves import NOTE_KEY
from crudjt._core.process_guard import own_memory
from crudjt.errors import StoreError, StoreFailed, StoreFull


class Engine(LiveDirectory):
    """An open store directory; shared by every `Store` of the process that opened it."""

    @overload
    def write(
        self,
        decide: Decision[Result],
        arguments: Sequence[Any],
        durable: bool = False,
        urgent: bool = True,
        moving: bool = False,
        known: Known | None = None,
    ) -> Result: ...

    @overload
    def write(
        self,
        decide: None,
        arguments: Sequence[Change],
        durable: bool = False,
        urgent: bool = True,
        moving: bool = False,
        known: Known | None = None,
    ) -> int: ...

    def write(  # noqa: C901, PLR0912, PLR0915 - begin to commit stays in one function: storage facts in docs/decisions.md
        self,
        decide: Decision[Result] | None,
        arguments: Sequence[Any],
        durable: bool = False,
        urgent: bool = True,
        moving: bool = False,
        known: Known | None = None,
    ) -> Result | int:
        """Run one write transaction and return the result of `decide`.

        `decide` gets a `Reader` and the arguments, and returns a result and the changes to make, at most one for an id;
        a list of them is used up. It must not change anything itself. Where there is nothing to decide, it is ``None``,
        and the arguments are the changes; with `known`, they are made only if that still holds. The result is then the
        number of the transaction, 0 where nothing was changed.

        With `durable`, return only after the changes are on disk. What is not `urgent`, as a sweep, leaves the reserve
        for a full disk alone even if it ends sessions. With `moving`, go on while the sessions are being moved.

        Raises:
            StoreFull: no room; nothing was changed.
            StoreFailed: the disk failed now or earlier.
            StoreMoved: a move has begun, without `moving`.

        """
        if self._view is None or not own_memory[0]:
            self._reach_view()
        try:
            with self._writing:
                if self._watched[0]:
                    watch(self._watched)
                begin_transaction = self.begin  # under the lock, before which `close` has changed it
                try:
                    transaction = begin_transaction(None, None, True)  # noqa: FBT003 - keywords cost a tenth of a write
                except ViewError as error:
                    raise self._translated(error) from error
                try:
                    number: int = transaction.id()
                    words, control = self.words, self.control
                    # One call, where the words one by one and `control.slot` would be four.
                    if number & 1:
                        attention, allocated, segment, end, sequence, sessions, filled = unpack_odd(control.map)
                    else:
                        attention, allocated, filled, segment, end, sequence, sessions = unpack_even(control.map)
                    if number >= attention or filled == number:
                        self._attend(number, transaction, moving=moving)
                        allocated = words[WORD_LOG_ALLOCATED]
                    result: Result | int
                    changes: Sequence[Change]
                    if decide is not None:
                        result, changes = decide(transaction, *arguments)
                        if not changes:
                            transaction.abort()
                            return result
                    elif not arguments or (known is not None and words[known.word] != known.noted):
                        transaction.abort()
                        return 0
                    else:
                        result, changes = number, arguments
                    writer = self._log.current
                    if writer is None or writer.number != segment:
                        writer = self._log.writer(segment)
                    sequence += 1
                    limit, many = 0, False
                    if len(changes) == 1:  # as `apply` and what it calls, without the calls
                        ((kind, id_, record),) = changes
                        entry = encode_change(sequence, kind, id_, record, writer.crc_salt)
                        flags = record[FLAGS_OFFSET]
                        # An entry is longer than its record.
                        if (
                            number >= attention
                            or len(entry) > SMALL_RECORD_BYTES
                            or (flags >= HAS_LABELS and kind != REPLACE)
                        ):
                            limit, many = self._make_room(number, changes, urgent=urgent), True
                        if kind == INSERT:  # no process can have cached a new session
                            if put_new(transaction, id_, record):
                                file_labels(transaction, id_, record)
                            sessions += 1
                        else:
                            # Before the commit: no cache may hold across it. `cache_word`, written out.
                            if known is None:
                                words[FIRST_CACHE_WORD + (unpack_last(id_)[0] & CACHE_WORDS_MASK)] = number
                            else:
                                words[known.word] = number
                            if kind == REPLACE:
                                transaction.put(SESSION + id_, record)
                            else:
                                if flags >= HAS_LABELS:  # `record` may be its header alone
                                    unfile_labels(transaction, id_, transaction.get(SESSION + id_, b""))
                                transaction.delete(SESSION + id_)
                                sessions -= 1
                                if flags & HAS_SUBJECT:
                                    transaction.delete(SUBJECT + record[TAG_OFFSET:HEADER_BYTES] + id_)
                    elif isinstance(changes, Filed):
                        filed, changes = changes, changes.first
                        limit, many = self._make_room(number, changes, urgent=urgent, times=len(filed)), True
                        result, ended = filed.end(transaction, number, words)
                        if not ended:
                            transaction.abort()
                            return result
                        entry = encode_ended(sequence, filed.tag, ended, writer.crc_salt)
                        sessions -= len(ended)
                    else:
                        entry = encode_entry(sequence, changes, writer.crc_salt)
                        if number >= attention or len(entry) > SMALL_RECORD_BYTES or needs_room(changes):
                            limit, many = self._make_room(number, changes, urgent=urgent), True
                        sessions += apply(transaction, number, changes, words)
                    if limit:
                        self.view.check_size(transaction, limit)
                    entry_end = end + len(entry)
                    # Before the slot is filled: where there is no room, there is nothing in the log to cut off.
                    if entry_end > allocated - RESERVE_BYTES:
                        writer.make_room(end, entry_end, reserve_to_leave(changes, urgent=urgent))
                    # As control.fill_slot, which is a call more.
                    check = hash((number, segment, entry_end, sequence, sessions))
                    pack_slot(
                        control.map, SLOT_OFFSETS[number & 1], number, segment, entry_end, sequence, sessions, check
                    )
                    if durable:
                        writer.append_to_sync(entry, end)
                    else:
                        writer.append(entry, end)
                    transaction.commit()
                except BaseException as error:
                    self._abort(transaction, error)
                    raise
        except SizeReached:
            if not self.reclaim():
                raise StoreFull(self.directory, MAX_SIZE_REACHED) from None
            return self.write(decide, arguments, durable, urgent, moving, known)
        if durable:
            self.sync_to(sequence, number)
        if self.unattended:
            self.upkeep(sequence)
        if many and isinstance(changes, list):
            free_in_batches(changes)
        return result

    def start_segment(self) -> tuple[Snapshot, LogEnd]:
        """End the current segment, durably, and begin the next.

        Returns a snapshot of the view, to be ended by the caller, and where the log stands at just that point: at the
        start of the new segment.
        """
        self._reach_view()
        with self._writing:
            transaction = self.begin(None, None, True)  # noqa: FBT003 - as in write
            try:
                number = transaction.id()
                self._attend(number, transaction, moving=True)
                segment, end, sequence, sessions = self.control.slot(number - 1)
                self._log.writer(segment).cut(end)
                self._log.sync(LogEnd(segment, end, sequence, sessions))
                self._make_room(number, [], urgent=True)
                create_segment(self.log_directory, segment + 1, sequence + 1, self.salt)
                self.control.note_segment(segment + 1, segment_path(self.log_directory, segment + 1))
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
        return snapshot, started

    def _attend(self, number: int, transaction: Reader, *, moving: bool) -> None:
        """Handle rare states: refuse after a disk failure or in a move, and clean up after a dead writer."""
        words = self.words
        if words[control_block.WORD_FAILED]:
            self._refuse()
            if not moving:
                self._refuse_noted(transaction.get(NOTE_KEY))
        self._log.cut_unfinished(number)

    def _make_room(self, number: int, changes: Sequence[Change], *, urgent: bool, times: int = 1) -> int:
        """See that transaction `number`, and if possible some small ones after it, find the pages they need.

        It makes as many changes as are given, so many `times`.

        Returns how many pages the view may have after it, 0 for any number.
        """
        words = self.words
        # One of many transactions has the time to see whether the background threads run, and where the lock is.
        self.unattended = True
        if self.write_lock.prepared:
            self.write_lock.find_prepared()
            self._watched = self.write_lock.watched
        to_leave = reserve_to_leave(changes, urgent=urgent)
        view = self.view
        pages = 0 if to_leave == 0 else new_pages(changes, view.page_bytes)  # 0: all of them end sessions
        room = view.make_room(words[control_block.WORD_ALLOCATED], weight(changes) * times, pages, to_leave)
        words[control_block.WORD_ALLOCATED] = room.allocated
        # Near max_size and in the reserve each transaction looks. If this one is refused, the next has the same number.
        words[WORD_ATTENTION] = number if room.limit else number + room.writes
        if words[control_block.WORD_FAILED]:  # set by a sync that has just failed, or in a move
            words[WORD_ATTENTION] = 0
            self._refuse()
        return view.limit_of_ending if room.limit and ends_sessions(changes) else room.limit

    def _abort(self, transaction: Any, error: BaseException) -> None:
        """End a transaction that failed, and raise our error for one of LMDB's or the disk's.

        An entry that the log holds already must not be replayed after a boot, so what the next writer would do, with
        the write lock, is done now: to cut off what lies behind the log end.
        """
        with suppress(ViewError):
            transaction.abort()
        with suppress(ViewError, StoreError):
            settling = self.begin(None, None, True)  # noqa: FBT003 - as in write
            try:
                self._log.cut_unfinished(settling.id())
            except OSError:
                self._log.fail_if_whole(settling.id())
            finally:
                settling.abort()
        if self.control.failed and isinstance(error, ViewError | OSError):
            raise StoreFailed(
                self.directory, "a change could not be undone; close the store everywhere and reopen it"
            ) from error
        if isinstance(error, ViewError):
            raise self._translated(error) from error
        if isinstance(error, OSError):
            raise store_error(error, self.directory) from error
