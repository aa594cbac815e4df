"""Recovery: rebuild the view of a store from base and log."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from crudjt import _filesystem
from crudjt._backends.embedded.engine.control_block import (
    MOVING,
    WORD_ALLOCATED,
    WORD_SEALED_BYTES,
    ControlBlock,
    LogEnd,
)
from crudjt._backends.embedded.engine.layout import BASE_DIRECTORY, CONTROL_FILE, VIEW_DIRECTORY
from crudjt._backends.embedded.engine.leftovers import remove_leftovers, remove_unfinished
from crudjt._backends.embedded.engine.lmdb_format import DATA_FILE, refuse_other_format
from crudjt._backends.embedded.engine.log import LOG_DIRECTORY
from crudjt._backends.embedded.engine.manifest import Base, Manifest
from crudjt._backends.embedded.engine.room import new_pages, weight
from crudjt._backends.embedded.engine.segment import HEADER_BLOCK_BYTES, Entry, segment_numbers, segment_path
from crudjt._backends.embedded.engine.segment_reader import SegmentReader, is_empty
from crudjt._backends.embedded.engine.segment_writer import SegmentWriter, create_segment
from crudjt._backends.embedded.engine.view import SEGMENT_KEY, Snapshot, View
from crudjt._backends.embedded.engine.view_changes import end_logged, file_labels, put_new
from crudjt._core.changes import DELETE, LABEL, REPLACE, SESSION, Change
from crudjt._core.details import MAX_LABELS
from crudjt._core.moves import NOTE_KEY
from crudjt._filesystem import contents, host
from crudjt.errors import StoreCorrupt, StoreFull

_REPLAY_BATCH_CHANGES = 250  # room is allocated for the worst of them, and stays allocated

logger = logging.getLogger("crudjt")


@dataclass
class _Replayed:
    """The progress of a rebuild."""

    sequence: int
    sessions: int
    segment: int
    log_bytes: int = 0
    allocated: int = 0

    def make_room(self, view: View, changes: int, pages: int) -> None:
        """Allocate the pages that the next transaction needs."""
        self.allocated = view.make_room(self.allocated, changes, pages).allocated


def rebuild(directory: Path, found: Manifest, *, fresh_base: bool) -> Manifest:
    """Rebuild the view; return the new manifest. Needs the lock in exclusive mode.

    With `fresh_base`, also write everything to new files: after a failed sync, bytes that are read from the old ones
    may exist in memory only (PostgreSQL, "fsyncgate").
    """
    started = time.monotonic()
    found = msgspec.structs.replace(found, boot=None, doubtful=fresh_base)
    found.save(directory)
    for name in (VIEW_DIRECTORY, LOG_DIRECTORY, BASE_DIRECTORY):
        _filesystem.make_inner_directory(directory / name)
    remove_leftovers(directory)
    remove_unfinished(directory)
    _filesystem.remove(directory / CONTROL_FILE)
    for path in (directory / VIEW_DIRECTORY).iterdir():
        _filesystem.remove(path)
    # First, since the view takes what room there is.
    with closing(ControlBlock.create(directory / CONTROL_FILE)) as control:
        found, replayed = _make_view(directory, found, control, fresh_base=fresh_base)
    found = msgspec.structs.replace(found, boot=host.current_boot(), segment=replayed.segment, doubtful=False)
    found.save(directory)
    remove_obsolete(directory, found.base)
    logger.info(
        "store recovered: %d sessions, %d log bytes replayed, %.3f s",
        replayed.sessions,
        replayed.log_bytes,
        time.monotonic() - started,
    )
    return found


def _make_view(
    directory: Path, found: Manifest, control: ControlBlock, *, fresh_base: bool
) -> tuple[Manifest, _Replayed]:
    """Make the view from base and log, and begin a segment and the control block; return the manifest with its base."""
    log = directory / LOG_DIRECTORY
    view, replayed = _restore_base(directory, found)
    try:
        _replay_log(log, found, view, replayed)
        replayed.segment += 1
        create_segment(log, replayed.segment, replayed.sequence + 1, bytes.fromhex(found.salt))
        control.note_segment(replayed.segment, segment_path(log, replayed.segment))
        replayed.make_room(view, 1, 1)
        with view.begin(write=True) as transaction:
            transaction.put(SEGMENT_KEY, replayed.segment.to_bytes(8, "little"))
        log_end = LogEnd(replayed.segment, HEADER_BLOCK_BYTES, replayed.sequence, replayed.sessions)
        if fresh_base:
            base = write_base(view, directory / BASE_DIRECTORY, lambda: (view.snapshot(), log_end))
            found = msgspec.structs.replace(found, base=base)
            replayed.log_bytes = 0
        control.words[WORD_ALLOCATED] = replayed.allocated
        control.words[WORD_SEALED_BYTES] = replayed.log_bytes
        if view.scan(NOTE_KEY, NOTE_KEY, 1):
            control.fail(MOVING)
        control.begin(log_end, view.last_transaction)
    finally:
        view.close()
    return found, replayed


def _restore_base(directory: Path, found: Manifest) -> tuple[View, _Replayed]:
    """Create the view from a copy of the base, or empty if there is none."""
    view_directory = directory / VIEW_DIRECTORY
    base = found.base
    if base is None:
        return View(view_directory, found.map_size), _Replayed(0, 0, 0)
    path = base_path(directory / BASE_DIRECTORY, base.segment)
    refuse_other_format(path)
    with _filesystem.opened(view_directory / DATA_FILE, os.O_WRONLY | os.O_CREAT) as target:
        try:
            if _filesystem.free_bytes(view_directory) < base.size:
                raise StoreFull(view_directory, "the disk is full")
            copied = contents.copy_file(path, target)
        except FileNotFoundError:
            raise StoreCorrupt(path, 0, "the base snapshot is missing") from None
    if copied != (base.size, base.sha256):
        raise StoreCorrupt(path, 0, "the base snapshot differs from what was written")
    view = View(view_directory, found.map_size)
    allocated = base.size // view.page_bytes * view.page_bytes
    return view, _Replayed(base.sequence, base.sessions, base.segment - 1, allocated=allocated)


def _replay_log(log: Path, found: Manifest, view: View, replayed: _Replayed) -> None:
    """Apply the segments that follow the base, and cut a torn tail off the last."""
    first = replayed.segment + 1
    numbers = [number for number in segment_numbers(log) if number >= first]
    last = max([first - 1, found.segment, *numbers])
    for number in range(first, last + 1):
        if number not in numbers:
            raise StoreCorrupt(segment_path(log, number), 0, "the segment is missing")
    for position, number in enumerate(numbers):
        path = segment_path(log, number)
        may_be_torn = all(is_empty(segment_path(log, later)) for later in numbers[position + 1 :])
        with closing(SegmentReader(path, alone=True)) as reader:
            if reader.header.first_sequence != replayed.sequence + 1:
                if reader.filled == reader.synced_end == HEADER_BLOCK_BYTES:
                    continue  # begun by a process that died or failed before it switched to it
                raise StoreCorrupt(path, 0, f"the segment does not follow entry {replayed.sequence}")
            if reader.header.number != number or reader.header.store_salt.hex() != found.salt:
                raise StoreCorrupt(path, 0, "the segment belongs to another place or store")
            end = _replay_segment(reader, view, replayed)
            check_tail(reader, end, may_be_torn=may_be_torn)
            if may_be_torn:
                _settle_tail(log, reader, end, doubtful=found.doubtful)
        replayed.segment = number
        replayed.log_bytes += end
    replayed.segment = last


def check_tail(reader: SegmentReader, end: int, *, may_be_torn: bool) -> None:
    """Raise unless a segment that was read up to `end` may end there.

    Only the end of the newest segment may be missing or unreadable, and only past its synced mark.

    Raises:
        StoreCorrupt: entries that were on disk are damaged or gone.

    """
    if reader.damage is not None and (not may_be_torn or reader.damage.offset < reader.synced_end):
        raise StoreCorrupt(reader.path, reader.damage.offset, reader.damage.reason)
    if end < reader.synced_end:
        raise StoreCorrupt(reader.path, end, "entries that were on disk are missing at the end")


def _replay_segment(reader: SegmentReader, view: View, replayed: _Replayed) -> int:
    """Apply the entries of one segment; return the offset behind the last."""
    end = HEADER_BLOCK_BYTES
    batch: list[Entry] = []
    changes = 0
    for entry in reader.entries():
        batch.append(entry)
        changes += len(entry.changes)
        if changes >= _REPLAY_BATCH_CHANGES:
            _apply(reader.path, batch, view, replayed)
            batch, changes = [], 0
        end = entry.end
    if batch:
        _apply(reader.path, batch, view, replayed)
    return end


def _apply(path: Path, batch: list[Entry], view: View, replayed: _Replayed) -> None:
    changes = [change for entry in batch for change in entry.changes]
    try:
        replayed.make_room(view, _weight(changes, view), new_pages(changes, view.page_bytes))
    except StoreFull:  # what a batch may need at most is far more than it does need
        if len(batch) == 1:
            raise
        half = len(batch) // 2
        _apply(path, batch[:half], view, replayed)
        _apply(path, batch[half:], view, replayed)
        return
    with view.begin(write=True) as transaction:
        for entry in batch:
            for kind, id_, value in entry.changes:
                if kind == DELETE:
                    if not end_logged(transaction, id_, value):
                        raise StoreCorrupt(path, entry.offset, "the entry deletes a session that does not exist")
                    replayed.sessions -= 1
                elif kind == REPLACE:
                    transaction.put(SESSION + id_, value)
                else:
                    if put_new(transaction, id_, value):
                        file_labels(transaction, id_, value)
                    replayed.sessions += 1
    replayed.sequence = batch[-1].sequence


def _weight(changes: list[Change], view: View) -> int:
    """Return the `weight` of changes. The entry of an ending has no number of labels, so it counts as the most."""
    put = [change for change in changes if change[0] != DELETE]
    of_ending = 1 + MAX_LABELS // 2 if view.scan(LABEL, LABEL, 1) else 1
    return weight(put) + of_ending * (len(changes) - len(put))


def _settle_tail(log: Path, reader: SegmentReader, end: int, *, doubtful: bool) -> None:
    """Cut off a torn tail, keep a copy of it, and sync the rest.

    After a failed sync (`doubtful`) another one proves nothing, so nothing is marked as synced: if the power failed
    before the new base is written, entries that never reached the disk would be reported as lost.
    """
    tail = reader.content[end : reader.filled]
    if tail:
        kept = log / f"{reader.header.number:010}.torn-{end}"
        _filesystem.replace_file(kept, tail)
        logger.warning("log segment %s: a torn tail of %d bytes was cut off at offset %d and kept as %s",
                       reader.path.name, len(tail), end, kept.name)  # fmt: skip
    reader.close()
    writer = SegmentWriter(log, reader.header.number)
    writer.cut(end)
    if not doubtful:
        writer.sync()
        writer.mark_synced(end)
    writer.close()


def base_path(directory: Path, segment: int) -> Path:
    """Return the path of the snapshot taken at the start of a segment."""
    return directory / f"{segment:010}.mdb"


def write_base(view: View, directory: Path, begin: Callable[[], tuple[Snapshot, LogEnd]]) -> Base:
    """Write a snapshot durably; return its description for the manifest.

    `begin` takes the snapshot, which must be short: while it is open, freed pages cannot be used again and the tree
    grows. So the file is filled with zeros before it begins, and synced after it has ended.
    """
    temporary = _filesystem.temporary_beside(directory / "base")
    with _filesystem.removed_on_failure(temporary):
        with _filesystem.opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as target:
            _filesystem.fill_with_zeros(target, 0, view.used_bytes)
            snapshot, log_end = begin()
            with snapshot:
                copied = view.copy(target, snapshot)
            _filesystem.truncate(target, copied)
            _filesystem.sync_data(target)
        size, sha256 = contents.digest_file(temporary)
        _filesystem.publish(temporary, base_path(directory, log_end.segment))
    return Base(segment=log_end.segment, sequence=log_end.sequence, sessions=log_end.sessions, size=size, sha256=sha256)


def remove_obsolete(directory: Path, base: Base | None) -> None:
    """Remove segments and snapshots that recovery does not need."""
    needed = 0 if base is None else base.segment
    for number in segment_numbers(directory / LOG_DIRECTORY):
        if number < needed:
            _filesystem.remove(segment_path(directory / LOG_DIRECTORY, number))
    for path in (directory / BASE_DIRECTORY).glob("*.mdb"):
        if path != base_path(directory / BASE_DIRECTORY, needed):
            _filesystem.remove(path)
