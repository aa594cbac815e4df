"""Opening a store directory, and making its view again from base and log where the old one cannot be trusted.

Who opens a store tries for the lock in exclusive mode. With it, nobody else has the store open: the view is checked,
and made again if it is of another boot or the disk failed. Without it, somebody has the store open, which proves that
the view lives, unless that process runs under another boot id.
"""

import errno
import logging
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from crudjt.engine import files, manifest
from crudjt.engine.control import WORD_ALLOCATED, WORD_SEALED_BYTES, ControlBlock, LogEnd
from crudjt.engine.engine import BASE_DIRECTORY, CONTROL_FILE, LOG_DIRECTORY, VIEW_DIRECTORY, Engine, new_pages
from crudjt.engine.log import (
    DELETE,
    HEADER_BLOCK_BYTES,
    REPLACE,
    SALT_BYTES,
    Entry,
    SegmentReader,
    SegmentWriter,
    create_segment,
    is_empty,
    segment_numbers,
    segment_path,
)
from crudjt.engine.manifest import Base, Manifest
from crudjt.engine.view import DATA_FILE, SEGMENT_KEY, SESSION, SUBJECT, Snapshot, View, ViewError, put_new, translated
from crudjt.errors import StoreBusy, StoreCorrupt, StoreFailed, StoreFull, StoreInaccessible
from crudjt.options import DEFAULT_MAX_SIZE
from crudjt.records import NO_SUBJECT

LOCK_FILE = "lock"

_WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.02
_REPLAY_BATCH_CHANGES = 250  # room is allocated for the worst of them, and stays allocated
_UNUSABLE_ERRNOS = frozenset({errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS})

logger = logging.getLogger("crudjt")


def open_engine(directory: Path, max_size: int | None) -> Engine:
    """Open a store, making or recovering it first where needed.

    Raises:
        StoreInaccessible: the directory cannot be used.
        StoreBusy: other processes keep it open in a state that has to be recovered.
        StoreCorrupt: the log or the base is damaged.
        StoreFull: no room to make the view.

    """
    try:
        _prepare_directory(directory)
        lock = files.open_file(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT)
        try:
            ready = _make_ready(directory, lock, max_size)
            return Engine(directory, lock, ready)
        except BaseException:
            os.close(lock)
            raise
    except ViewError as error:
        raise translated(error, directory) from error
    except PermissionError as error:
        raise StoreInaccessible(directory, f"no permission to use {error.filename or directory}") from error
    except OSError as error:
        if error.errno in files.DISK_FULL_ERRNOS:
            raise StoreFull(directory, "the disk is full") from error
        if error.errno in _UNUSABLE_ERRNOS:
            raise StoreInaccessible(directory, f"cannot be used: {os.strerror(error.errno)}") from error
        raise StoreFailed(directory, f"opening failed: {os.strerror(error.errno or 0)}") from error


def _prepare_directory(directory: Path) -> None:
    try:
        if not directory.is_dir():
            files.make_directories(directory)
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreInaccessible(directory, "is a file, or lies in one; a store is a directory") from error
    kind = files.file_system(directory)
    if kind in files.NETWORK_FILE_SYSTEMS:
        raise StoreInaccessible(directory, f"lies on a network file system ({kind}); use a local disk, or gRPC")


def _make_ready(directory: Path, lock: int, max_size: int | None) -> Manifest:
    """Return the manifest of a store whose view is good, with the lock held in shared mode."""
    started = time.monotonic()
    while True:
        if files.lock(lock, exclusive=True):
            _check_alone(directory, max_size)
        files.lock(lock, exclusive=False, wait=True)
        # Looked at again, since converting the lock gives it up for a moment, in which others may have had it.
        found = _load(directory)
        if found is not None and found.boot is not None and found.boot.id == files.current_boot().id:
            if _usable(directory):
                return found
            what = "the disk failed" if _disk_failed(directory) else "its view is gone, or of another version of crudjt"
            reason = f"{what}; close the store in every process to recover it"
        else:
            reason = "it is open in processes of another boot id (a container of its own?), or is being recovered"
        files.unlock(lock)
        waited = time.monotonic() - started
        if waited > _WAIT_SECONDS:
            raise StoreBusy(directory, reason, waited)
        time.sleep(_POLL_SECONDS * (1 + random.random()))  # noqa: S311 - only to keep openers apart


def _load(directory: Path) -> Manifest | None:
    try:
        return manifest.load(directory)
    except FileNotFoundError:
        return None


def _usable(directory: Path) -> bool:
    """Tell whether the view that was made in this boot is there, and no disk has failed since."""
    control = _control(directory)
    return (directory / VIEW_DIRECTORY / DATA_FILE).exists() and control is not None and not control.failed


def _disk_failed(directory: Path) -> bool:
    control = _control(directory)
    return control is not None and control.failed


def _control(directory: Path) -> ControlBlock | None:
    try:
        control = ControlBlock(directory / CONTROL_FILE)
    except (FileNotFoundError, ValueError):  # gone, or cut short
        return None
    return control if control.valid else None


def _check_alone(directory: Path, max_size: int | None) -> None:
    """Make a store ready while nobody else has it open."""
    found = _load(directory)
    if found is None:
        if segment_numbers(directory / LOG_DIRECTORY) or any((directory / BASE_DIRECTORY).glob("*.mdb")):
            raise StoreCorrupt(directory / manifest.NAME, 0, "the manifest is missing")
        salt = os.urandom(SALT_BYTES).hex()
        found = Manifest(
            map_size=max_size or DEFAULT_MAX_SIZE, salt=salt, keys=[], boot=None, base=None, segment=0, doubtful=False
        )
        found.save(directory)
    elif max_size is not None and max_size > found.map_size:
        found = msgspec.structs.replace(found, map_size=max_size)
        found.save(directory)
    boot = files.current_boot()
    same_boot = found.boot is not None and found.boot.id == boot.id and found.boot.started_with(boot)
    if same_boot and not found.doubtful and _usable(directory):
        return
    rebuild(directory, found, fresh_base=found.doubtful or (same_boot and _disk_failed(directory)))


@dataclass
class _Replayed:
    """How far a rebuild has come."""

    sequence: int
    sessions: int
    segment: int
    log_bytes: int = 0
    allocated: int = 0

    def make_room(self, view: View, changes: int, pages: int) -> None:
        """See that the next transaction finds the pages it needs."""
        self.allocated = view.make_room(self.allocated, changes, pages).allocated


def rebuild(directory: Path, found: Manifest, *, fresh_base: bool) -> Manifest:
    """Make the view again; return the manifest that says so. Needs the lock in exclusive mode.

    With `fresh_base`, write everything to new files as well: after a failed sync, what is read back from the old ones
    may exist in memory only (PostgreSQL, "fsyncgate").
    """
    started = time.monotonic()
    found = msgspec.structs.replace(found, boot=None, doubtful=fresh_base)
    found.save(directory)
    for name in (VIEW_DIRECTORY, LOG_DIRECTORY, BASE_DIRECTORY):
        files.make_directory(directory / name)
    remove_leftovers(directory)
    files.remove(directory / CONTROL_FILE)
    for path in (directory / VIEW_DIRECTORY).iterdir():
        files.remove(path)
    control = ControlBlock.create(directory / CONTROL_FILE)  # first, since the view takes what room there is
    log = directory / LOG_DIRECTORY
    view, replayed = _restore_base(directory, found)
    try:
        _replay_log(log, found, view, replayed)
        replayed.segment += 1
        create_segment(log, replayed.segment, replayed.sequence + 1, bytes.fromhex(found.salt))
        replayed.make_room(view, 1, 1)
        with view.begin(write=True) as transaction:
            transaction.put(SEGMENT_KEY, replayed.segment.to_bytes(8, "little"))
        if fresh_base:
            with view.snapshot() as snapshot:
                log_end = LogEnd(replayed.segment, HEADER_BLOCK_BYTES, replayed.sequence, replayed.sessions)
                base = write_base(view, snapshot, directory / BASE_DIRECTORY, log_end)
            found = msgspec.structs.replace(found, base=base)
            replayed.log_bytes = 0
        log_end = LogEnd(replayed.segment, HEADER_BLOCK_BYTES, replayed.sequence, replayed.sessions)
        control.words[WORD_ALLOCATED] = replayed.allocated
        control.words[WORD_SEALED_BYTES] = replayed.log_bytes
        control.begin(log_end, view.last_transaction)
    finally:
        view.close()
    found = msgspec.structs.replace(found, boot=files.current_boot(), segment=replayed.segment, doubtful=False)
    found.save(directory)
    remove_obsolete(directory, found.base)
    logger.info(
        "store recovered: %d sessions, %d log bytes replayed, %.3f s",
        replayed.sessions,
        replayed.log_bytes,
        time.monotonic() - started,
    )
    return found


def _restore_base(directory: Path, found: Manifest) -> tuple[View, _Replayed]:
    """Open a view that holds what the base holds."""
    view_directory = directory / VIEW_DIRECTORY
    base = found.base
    if base is None:
        return View(view_directory, found.map_size), _Replayed(0, 0, 0)
    path = base_path(directory / BASE_DIRECTORY, base.segment)
    with files.opened(view_directory / DATA_FILE, os.O_WRONLY | os.O_CREAT) as target:
        try:
            if files.free_bytes(view_directory) < base.size:
                raise StoreFull(view_directory, "the disk is full")
            copied = files.copy_file(path, target)
        except FileNotFoundError:
            raise StoreCorrupt(path, 0, "the base snapshot is missing") from None
    if copied != (base.size, base.sha256):
        raise StoreCorrupt(path, 0, "the base snapshot differs from what was written")
    return View(view_directory, found.map_size), _Replayed(
        base.sequence, base.sessions, base.segment - 1, allocated=base.size // files.PAGE_BYTES * files.PAGE_BYTES
    )


def _replay_log(log: Path, found: Manifest, view: View, replayed: _Replayed) -> None:
    """Apply the segments from the base on, and cut a torn tail off the last."""
    first = replayed.segment + 1
    numbers = [number for number in segment_numbers(log) if number >= first]
    last = max([first - 1, found.segment, *numbers])
    for number in range(first, last + 1):
        if number not in numbers:
            raise StoreCorrupt(segment_path(log, number), 0, "the segment is missing")
    for position, number in enumerate(numbers):
        path = segment_path(log, number)
        reader = SegmentReader(path, alone=True)
        may_be_torn = all(is_empty(segment_path(log, later)) for later in numbers[position + 1 :])
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
    """Accept the end of a segment that was read up to `end`, or raise.

    Only what never was known to be on disk may be missing or unreadable, and only behind everything else.

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
        replayed.make_room(view, len(changes), new_pages(changes))
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
                    if not transaction.delete(SESSION + id_):
                        raise StoreCorrupt(path, entry.offset, "the entry deletes a session that does not exist")
                    if value != NO_SUBJECT:
                        transaction.delete(SUBJECT + value + id_)
                    replayed.sessions -= 1
                elif kind == REPLACE:
                    transaction.put(SESSION + id_, value)
                else:
                    put_new(transaction, id_, value)
                    replayed.sessions += 1
    replayed.sequence = batch[-1].sequence


def _settle_tail(log: Path, reader: SegmentReader, end: int, *, doubtful: bool) -> None:
    """Cut a torn tail off, keeping it aside, and make sure that the rest is on disk.

    Where a sync has failed, another one would prove nothing, and nothing is marked as synced: if the power fails before
    the new base is there, entries that never reached the disk would pass for lost ones.
    """
    tail = reader.content[end : reader.filled]
    if tail:
        kept = log / f"{reader.header.number:010}.torn-{end}"
        files.replace_file(kept, tail)
        logger.warning("log segment %s: a torn tail of %d bytes was cut off at offset %d and kept as %s",
                       reader.path.name, len(tail), end, kept.name)  # fmt: skip
    writer = SegmentWriter(log, reader.header.number)
    writer.cut(end)
    if not doubtful:
        writer.sync()
        writer.mark_synced(end)
    writer.close()


def base_path(directory: Path, segment: int) -> Path:
    """Return where the snapshot as of the start of a segment lies."""
    return directory / f"{segment:010}.mdb"


def write_base(view: View, snapshot: Snapshot, directory: Path, log_end: LogEnd) -> Base:
    """Write a snapshot, durably, and return what the manifest has to say of it."""
    final = base_path(directory, log_end.segment)
    temporary = final.with_suffix(".tmp")
    with files.removed_on_failure(temporary):
        with files.opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as target:
            view.copy(target, snapshot)
            files.sync_data(target)
        size, sha256 = files.digest_file(temporary)
        files.publish(temporary, final)
    return Base(segment=log_end.segment, sequence=log_end.sequence, sessions=log_end.sessions, size=size, sha256=sha256)


def remove_obsolete(directory: Path, base: Base | None) -> None:
    """Remove segments and snapshots that recovery would not read."""
    needed = 0 if base is None else base.segment
    for number in segment_numbers(directory / LOG_DIRECTORY):
        if number < needed:
            files.remove(segment_path(directory / LOG_DIRECTORY, number))
    for path in (directory / BASE_DIRECTORY).glob("*.mdb"):
        if path != base_path(directory / BASE_DIRECTORY, needed):
            files.remove(path)


def remove_leftovers(directory: Path) -> None:
    """Remove files that a dying process left half made."""
    for name in (LOG_DIRECTORY, BASE_DIRECTORY):
        for path in (directory / name).glob("*.tmp"):
            files.remove(path)
