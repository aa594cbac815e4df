"""What is done to a live store now and then: compacting its log, sweeping expired sessions, backing it up.

Compaction and sweep run in one process at a time, under a lock that ends with the process.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from crudjt.clock import NS_PER_MS, Clock
from crudjt.engine import control as control_block
from crudjt.engine import files, manifest
from crudjt.engine.control import LogEnd
from crudjt.engine.engine import Engine, Reader
from crudjt.engine.live_log import LOG_DIRECTORY, full_or_failed
from crudjt.engine.log import DELETE, Change, create_segment
from crudjt.engine.manifest import Manifest
from crudjt.engine.reading import BASE_DIRECTORY, VIEW_DIRECTORY
from crudjt.engine.recovery import remove_leftovers, remove_obsolete, write_base
from crudjt.engine.view import SESSION, Snapshot
from crudjt.errors import StoreFull, StoreInaccessible
from crudjt.records import FORMAT, MIN_RECORD_BYTES, has_expired

MIN_COMPACTION_BYTES = 64 * 1024**2
_LOG_TO_LIVE = 2
_SWEEP_BATCH = 64  # read in one transaction: while it lasts, writers must leave the pages alone that others free
_PAUSES = 20  # for each moment of work
_FIRST_SEGMENT = 1


@contextmanager
def _alone(engine: Engine) -> Iterator[bool]:
    """Tell whether this process may maintain the store now; it is the only one for as long as the block lasts.

    What the operating system refuses in the block is raised as an error of ours.
    """
    try:
        with files.opened(engine.base_directory, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
            try:
                yield files.lock(descriptor, exclusive=True)
            finally:
                files.unlock(descriptor)  # a child that was forked meanwhile would hold it on
    except OSError as error:
        raise full_or_failed(engine.directory, error) from error


def log_bytes(engine: Engine) -> int:
    """Return the bytes of log that a recovery would read."""
    return engine.words[control_block.WORD_SEALED_BYTES] + engine.log_end().end


def compaction_is_due(engine: Engine) -> bool:
    """Tell whether the log has outgrown twice the live data."""
    return log_bytes(engine) > max(MIN_COMPACTION_BYTES, _LOG_TO_LIVE * engine.view.used_bytes)


def compact(engine: Engine, now_ms: int) -> bool:
    """Replace the log so far by a snapshot; return False where another process is at it.

    Raises:
        StoreFull: no room for the snapshot; nothing was changed.

    """
    with _alone(engine) as alone:
        if not alone:
            return False
        remove_leftovers(engine.directory)
        if files.free_bytes(engine.directory) < engine.view.used_bytes:
            raise StoreFull(engine.directory, "the disk has no room for a snapshot")
        engine.sync()  # what is on disk by now, nobody will wait for under the write lock
        try:
            with engine.copying:
                base = write_base(engine.view, engine.base_directory, engine.start_segment)
            msgspec.structs.replace(manifest.load(engine.directory), base=base).save(engine.directory)
        except OSError:
            remove_obsolete(engine.directory, manifest.load(engine.directory).base)
            raise
        remove_obsolete(engine.directory, base)
        engine.words[control_block.WORD_SEALED_BYTES] = 0
        engine.words[control_block.WORD_COMPACTED_AT] = now_ms
        return True


def sweep(engine: Engine, clock: Clock, pause: Callable[[float], None] = lambda _seconds: None) -> int:
    """Remove what has expired, in small transactions; return how many sessions went.

    Returns 0 at once where another process is at it. After each batch, `pause` is called with the seconds to wait so
    that the sweep takes a twentieth of a processor, for the sake of others; what it raises ends the sweep.
    """
    with _alone(engine) as alone:
        if not alone:
            return 0
        removed = 0
        start = SESSION
        began = time.perf_counter()
        while items := engine.scan(SESSION, start, _SWEEP_BATCH):
            now_ms = clock() // NS_PER_MS
            expired = [key for key, record in items if _expired(record, now_ms)]
            if expired:
                removed += engine.write(_remove_expired, (expired, now_ms))
            start = items[-1][0] + b"\x00"
            pause((time.perf_counter() - began) * _PAUSES)
            began = time.perf_counter()
        engine.words[control_block.WORD_SWEPT_AT] = clock() // NS_PER_MS
        return removed


def _expired(record: bytes, now_ms: int) -> bool:
    return len(record) >= MIN_RECORD_BYTES and record[0] == FORMAT and has_expired(record, now_ms)


def _remove_expired(view: Reader, keys: list[bytes], now_ms: int) -> tuple[int, list[Change]]:
    changes: list[Change] = []
    for key in keys:
        record = view.get(key)
        if record is not None and _expired(record, now_ms):
            changes.append((DELETE, key[len(SESSION) :], record))
    return len(changes), changes


def note_keys(engine: Engine, fingerprints: list[str]) -> bool:
    """Add fingerprints to the manifest; return whether any of them was there before, or the store had none."""
    try:
        known = manifest.load(engine.directory).keys
    except OSError as error:
        raise full_or_failed(engine.directory, error) from error
    missing = [fingerprint for fingerprint in fingerprints if fingerprint not in known]
    if missing:
        with _alone(engine) as alone:
            if alone:  # else the next opening does it
                current = manifest.load(engine.directory)
                keys = current.keys + [fingerprint for fingerprint in missing if fingerprint not in current.keys]
                msgspec.structs.replace(current, keys=keys).save(engine.directory)
    return not known or len(missing) < len(fingerprints)


def backup(engine: Engine, target: Path) -> None:
    """Make a copy of a live store, as of one moment, that opens as a store.

    Raises:
        StoreInaccessible: the target exists.
        StoreFull: no room for the copy.

    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreInaccessible(target, "exists already; a backup goes to a new or an empty directory")

    def snapshot() -> tuple[Snapshot, LogEnd]:
        taken, log_end = engine.snapshot()
        return taken, log_end._replace(segment=_FIRST_SEGMENT)

    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    current = manifest.load(engine.directory)
    try:
        for directory in (temporary, *(temporary / name for name in (VIEW_DIRECTORY, LOG_DIRECTORY, BASE_DIRECTORY))):
            files.make_directory(directory)
        with engine.copying:
            base = write_base(engine.view, temporary / BASE_DIRECTORY, snapshot)
        create_segment(temporary / LOG_DIRECTORY, _FIRST_SEGMENT, base.sequence + 1, bytes.fromhex(current.salt))
        Manifest(
            map_size=current.map_size,
            salt=current.salt,
            keys=current.keys,
            boot=None,
            base=base,
            segment=_FIRST_SEGMENT,
            doubtful=False,
        ).save(temporary)
        files.publish(temporary, target)
    except BaseException as error:
        files.remove_tree(temporary)
        if not isinstance(error, OSError):
            raise
        if error.errno in files.DISK_FULL_ERRNOS:
            raise StoreFull(target, "the disk is full") from error
        raise StoreInaccessible(target, f"cannot be written: {os.strerror(error.errno or 0)}") from error
