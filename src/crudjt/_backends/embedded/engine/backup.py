"""Make a consistent copy of a store."""

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import msgspec

from crudjt import _filesystem
from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.control_block import LogEnd
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.layout import BASE_DIRECTORY, VIEW_DIRECTORY
from crudjt._backends.embedded.engine.log import LOG_DIRECTORY
from crudjt._backends.embedded.engine.manifest import Manifest
from crudjt._backends.embedded.engine.os_errors import LIMITS, store_error
from crudjt._backends.embedded.engine.recovery import base_path, write_base
from crudjt._backends.embedded.engine.room import new_pages, weight
from crudjt._backends.embedded.engine.segment import HEADER_BLOCK_BYTES, segment_numbers, segment_path
from crudjt._backends.embedded.engine.segment_writer import create_segment
from crudjt._backends.embedded.engine.view import Snapshot, View
from crudjt._backends.embedded.engine.view_changes import file_labels, put_new
from crudjt._core.changes import INSERT, SESSION
from crudjt._core.moves import Arrival, Identity
from crudjt._filesystem import contents
from crudjt._filesystem.host import DEFAULT_MAX_SIZE
from crudjt.errors import StoreCorrupt, StoreInaccessible

_FIRST_SEGMENT = 1
_BATCH = 500


def backup(engine: Engine, target: Path) -> None:
    """Make a consistent copy of a live store, which opens as a store.

    Raises:
        StoreInaccessible: the target exists.
        StoreFull: no room for the copy.

    """

    def snapshot() -> tuple[Snapshot, LogEnd]:
        taken, log_end = engine.snapshot()
        return taken, log_end._replace(segment=_FIRST_SEGMENT)

    with _new_directory(target) as temporary:
        current = manifest.load(engine.directory)
        with engine.copying:
            base = write_base(engine.view, temporary / BASE_DIRECTORY, snapshot)
        create_segment(temporary / LOG_DIRECTORY, _FIRST_SEGMENT, base.sequence + 1, bytes.fromhex(current.salt))
        Manifest(
            format=current.format,
            map_size=current.map_size,
            salt=current.salt,
            keys=current.keys,
            placement=current.placement,
            boot=None,
            base=base,
            segment=_FIRST_SEGMENT,
            doubtful=False,
        ).save(temporary)


def write_store(
    target: Path, identity: Identity, records: Iterable[tuple[bytes, bytes]], arrival: Arrival | None = None
) -> None:
    """Make a store of sessions that were kept elsewhere, which opens with their secret keys.

    Args:
        target: a new or an empty directory.
        identity: salt and keys of the sessions.
        records: ids and records; of an id that comes again, the last record counts.
        arrival: the move that is to bring more.

    Raises:
        StoreInaccessible: the target exists.
        StoreFull: no room for the sessions.

    """
    with _new_directory(target) as temporary:
        view = View(temporary / VIEW_DIRECTORY, DEFAULT_MAX_SIZE)
        try:
            sessions = fill_view(view, records)
            log_end = LogEnd(_FIRST_SEGMENT, HEADER_BLOCK_BYTES, 0, sessions)
            base = write_base(view, temporary / BASE_DIRECTORY, lambda: (view.snapshot(), log_end))
        finally:
            view.close()
        for path in (temporary / VIEW_DIRECTORY).iterdir():  # it is made again when the store is opened
            _filesystem.remove(path)
        create_segment(temporary / LOG_DIRECTORY, _FIRST_SEGMENT, 1, bytes.fromhex(identity.salt))
        Manifest(
            format=manifest.MANIFEST_FORMAT if arrival is None else manifest.MOVING_FORMAT,
            map_size=DEFAULT_MAX_SIZE,
            salt=identity.salt,
            keys=list(identity.keys),
            placement=dict(identity.placement),
            boot=None,
            base=base,
            segment=_FIRST_SEGMENT,
            doubtful=False,
            arrival=arrival,
        ).save(temporary)


def fill_view(view: View, records: Iterable[tuple[bytes, bytes]]) -> int:
    """Put sessions into a view that no other process uses; return how many. Fastest in the order of their ids."""
    sessions = allocated = 0
    left = iter(records)
    while batch := list(islice(left, _BATCH)):
        changes = [(INSERT, id_, record) for id_, record in batch]
        pages = new_pages(changes, view.page_bytes)
        allocated = view.make_room(allocated, weight(changes), pages).allocated
        with view.begin(write=True) as transaction:
            for id_, record in batch:
                sessions += transaction.get(SESSION + id_) is None
                if put_new(transaction, id_, record):
                    file_labels(transaction, id_, record)
    return sessions


def copy_read_only(directory: Path, target: Path) -> None:
    """Copy a store on a file system that is mounted read-only, where it cannot be opened and nothing changes it.

    Raises:
        StoreInaccessible: the target exists, or a file cannot be read.
        StoreCorrupt: a file is missing, or the base snapshot is damaged.
        StoreFull: no room for the copy.

    """
    current = manifest.load(directory)
    base, log = current.base, directory / LOG_DIRECTORY
    with _new_directory(target) as temporary:
        if base is not None:
            path = base_path(directory / BASE_DIRECTORY, base.segment)
            if _copy(path, base_path(temporary / BASE_DIRECTORY, base.segment)) != (base.size, base.sha256):
                raise StoreCorrupt(path, 0, "the base snapshot differs from what was written")
        for number in segment_numbers(log):
            if base is None or number >= base.segment:
                _copy(segment_path(log, number), segment_path(temporary / LOG_DIRECTORY, number))
        for name in (LOG_DIRECTORY, BASE_DIRECTORY):
            _filesystem.sync_directory(temporary / name)
        msgspec.structs.replace(current, boot=None).save(temporary)


def _copy(source: Path, target: Path) -> tuple[int, str]:
    with _filesystem.opened(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as descriptor:
        copied = contents.copy_file(source, descriptor)
        _filesystem.sync_data(descriptor)
    return copied


@contextmanager
def _new_directory(target: Path) -> Generator[Path]:
    """Give a block a directory with the directories of a store, which becomes the target when the block ends."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreInaccessible(target, "exists already; a backup goes to a new or an empty directory")
    temporary: Path | None = None
    try:
        temporary = _filesystem.make_temporary_directory(target)
        for name in (VIEW_DIRECTORY, LOG_DIRECTORY, BASE_DIRECTORY):
            _filesystem.make_inner_directory(temporary / name)
        yield temporary
        _filesystem.publish(temporary, target)
    except BaseException as error:
        if temporary is not None:
            _filesystem.remove_tree(temporary)
        if not isinstance(error, OSError):
            raise
        if error.errno in LIMITS | _filesystem.DISK_FULL_ERRNOS:
            raise store_error(error, target) from error
        why = os.strerror(error.errno or 0) if target.parent.is_dir() else "the directory above it is missing; make it"
        raise StoreInaccessible(target, f"cannot be written: {why}") from error
