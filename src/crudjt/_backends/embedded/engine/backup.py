"""Make a consistent copy of a live store."""

import os
from pathlib import Path

from crudjt import _filesystem
from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.control_block import LogEnd
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.log import (
    LOG_DIRECTORY,
)
from crudjt._backends.embedded.engine.manifest import Manifest
from crudjt._backends.embedded.engine.reader import (
    BASE_DIRECTORY,
    VIEW_DIRECTORY,
)
from crudjt._backends.embedded.engine.recovery import (
    write_base,
)
from crudjt._backends.embedded.engine.segment import create_segment
from crudjt._backends.embedded.engine.view import Snapshot
from crudjt.errors import StoreFull, StoreInaccessible

_FIRST_SEGMENT = 1


def backup(engine: Engine, target: Path) -> None:
    """Make a consistent copy of a live store, which opens as a store.

    Raises:
        StoreInaccessible: the target exists.
        StoreFull: no room for the copy.

    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreInaccessible(target, "exists already; a backup goes to a new or an empty directory")

    def snapshot() -> tuple[Snapshot, LogEnd]:
        taken, log_end = engine.snapshot()
        return taken, log_end._replace(segment=_FIRST_SEGMENT)

    temporary: Path | None = None
    current = manifest.load(engine.directory)
    try:
        temporary = _filesystem.make_temporary_directory(target)
        for name in (VIEW_DIRECTORY, LOG_DIRECTORY, BASE_DIRECTORY):
            _filesystem.make_inner_directory(temporary / name)
        with engine.copying:
            base = write_base(engine.view, temporary / BASE_DIRECTORY, snapshot)
        create_segment(temporary / LOG_DIRECTORY, _FIRST_SEGMENT, base.sequence + 1, bytes.fromhex(current.salt))
        Manifest(
            map_size=current.map_size,
            salt=current.salt,
            keys=current.keys,
            placement=current.placement,
            boot=None,
            base=base,
            segment=_FIRST_SEGMENT,
            doubtful=False,
        ).save(temporary)
        _filesystem.publish(temporary, target)
    except BaseException as error:
        if temporary is not None:
            _filesystem.remove_tree(temporary)
        if not isinstance(error, OSError):
            raise
        if error.errno in _filesystem.DISK_FULL_ERRNOS:
            raise StoreFull(target, "the disk is full") from error
        raise StoreInaccessible(target, f"cannot be written: {os.strerror(error.errno or 0)}") from error
