"""Compaction: replace the log by a snapshot of the view."""

import msgspec

from crudjt import _filesystem
from crudjt._backends.embedded.engine import control_block, manifest
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.leftovers import remove_leftovers
from crudjt._backends.embedded.engine.maintenance_lock import exclusively
from crudjt._backends.embedded.engine.os_errors import store_error
from crudjt._backends.embedded.engine.recovery import remove_obsolete, write_base
from crudjt.errors import StoreFull

MIN_COMPACTION_BYTES = 64 * 1024**2
_LOG_TO_LIVE = 2


def log_bytes(engine: Engine) -> int:
    """Return the bytes of log that a recovery would read."""
    return engine.words[control_block.WORD_SEALED_BYTES] + engine.log_end().end


def compaction_is_due(engine: Engine) -> bool:
    """Tell whether the log has outgrown twice the live data."""
    return log_bytes(engine) > max(MIN_COMPACTION_BYTES, _LOG_TO_LIVE * engine.view.used_bytes)


def compact(engine: Engine, now_ms: int) -> bool:
    """Replace the log by a snapshot; return False if another process is doing so.

    Raises:
        StoreFull: no room for the snapshot; nothing was changed.

    """
    with exclusively(engine) as alone:
        if alone:
            compact_alone(engine, now_ms)
        return alone


def compact_alone(engine: Engine, now_ms: int) -> None:
    """Replace the log so far by a snapshot, where no other process may maintain the store.

    Raises:
        StoreFull: as `compact`.
        StoreFailed: files of the store were replaced.

    """
    remove_leftovers(engine.directory)
    if _filesystem.free_bytes(engine.directory) < engine.view.used_bytes:
        raise StoreFull(engine.directory, "the disk has no room for a snapshot")
    engine.sync()  # synced now, so that no writer waits for it under the write lock
    try:
        with engine.copying:
            base = write_base(engine.view, engine.base_directory, engine.start_segment)
        engine.check_files()  # a backup that was put in place since then must not get the base of the old store
        msgspec.structs.replace(manifest.load(engine.directory), base=base).save(engine.directory)
    except OSError as error:
        remove_obsolete(engine.directory, manifest.load(engine.directory).base)
        raise store_error(error, engine.directory) from error
    remove_obsolete(engine.directory, base)
    engine.words[control_block.WORD_SEALED_BYTES] = 0
    engine.words[control_block.WORD_COMPACTED_AT] = now_ms
