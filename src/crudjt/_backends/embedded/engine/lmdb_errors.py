"""LMDB's errors, and installations of it that do not fit, as errors of the store."""

import errno
import os
from pathlib import Path

import lmdb

from crudjt import _filesystem
from crudjt._backends.embedded.engine.lmdb_format import DATA_FILE, LIB_VERSION, refuse_other_format, usual_page_bytes
from crudjt._backends.embedded.engine.os_errors import DISK_FULL, LIMITS, store_error
from crudjt._backends.embedded.engine.room import PAGES_PER_WRITE
from crudjt.errors import StoreBusy, StoreError, StoreFailed, StoreFull, StoreInaccessible

MAX_READERS = 1024  # at once, of all processes
MAX_SIZE_REACHED = "the store has reached max_size"

_ERRNOS = LIMITS | {errno.ENOSPC, errno.EACCES}  # whose errors say more than those of LMDB


def _refuse_other_library(directory: Path) -> None:
    """Refuse an installation of py-lmdb without LMDB 0.9.

    Raises:
        StoreInaccessible: it is one.

    """
    try:
        lmdb.version(lib_version=LIB_VERSION)
    except lmdb.Error as error:
        raise StoreInaccessible(
            directory,
            "the installed lmdb was built without LMDB 0.9; install the wheel: "
            "pip install --force-reinstall --only-binary lmdb lmdb",
        ) from error


def translated(error: lmdb.Error, directory: Path) -> StoreError:
    """Return the `StoreError` for an error of LMDB."""
    if isinstance(error, lmdb.MapFullError):
        return StoreFull(directory, MAX_SIZE_REACHED)
    code: int = getattr(error, "code", 0)
    if code in _ERRNOS:
        return store_error(OSError(code, os.strerror(code), str(directory / DATA_FILE)), directory)
    if isinstance(error, lmdb.ReadersFullError):
        return StoreBusy(directory, f"more than {MAX_READERS} reads at once", 0.0)
    if isinstance(error, lmdb.MemoryError):
        return StoreFailed(
            directory,
            "no memory or address space left to map the store; raise the limit of the process (ulimit -v), or open a "
            "new store with a smaller max_size",
        )
    if isinstance(error, lmdb.InvalidError):
        refuse_other_format(directory / DATA_FILE)
    if type(error) is lmdb.Error:
        _refuse_other_library(directory)
    if (
        _filesystem.free_bytes(directory) < usual_page_bytes() * PAGES_PER_WRITE
    ):  # LMDB calls a short write an I/O error
        return StoreFull(directory, DISK_FULL)
    return StoreFailed(directory, f"LMDB failed with {type(error).__name__}")
