"""Errors of the operating system as errors of the store, which name the limit that was met or the owner of the file."""

import errno
import os
from pathlib import Path

from crudjt import _filesystem
from crudjt._filesystem.platform import system
from crudjt.errors import StoreBusy, StoreError, StoreFailed, StoreFull, StoreInaccessible

DISK_FULL = "the disk is full"
_FILE_TOO_LARGE = "a file has reached the limit of this process on the size of files; raise it (ulimit -f)"
_NO_DESCRIPTOR = {
    errno.EMFILE: "this process has no free file descriptor; raise its limit (ulimit -n), or close files and stores",
    errno.ENFILE: "the system has no free file descriptor; raise its limit (fs.file-max)",
}
LIMITS = frozenset({errno.EFBIG, *_NO_DESCRIPTOR})
"""The errors of an operation that met a limit. It can be tried again once the limit is raised."""


def store_error(error: OSError, store: Path, doing: str = "writing") -> StoreError:
    """Return the `StoreError` for what the operating system refused while the store was `doing` something."""
    if isinstance(error, _filesystem.UnsafeFile):
        return StoreInaccessible(store, str(error.strerror))
    if isinstance(error, PermissionError):
        return inaccessible(error, store)
    if error.errno in _NO_DESCRIPTOR:
        return StoreBusy(store, _NO_DESCRIPTOR[error.errno], 0.0)
    if error.errno in _filesystem.DISK_FULL_ERRNOS:
        return StoreFull(store, _FILE_TOO_LARGE if error.errno == errno.EFBIG else DISK_FULL)
    return StoreFailed(store, f"{doing} failed: {os.strerror(error.errno or 0)}")


def inaccessible(error: PermissionError, directory: Path) -> StoreInaccessible:
    """Return the error for a file that this process may not use. It names the owner and the remedy."""
    path = Path(error.filename or directory)
    what = f"no permission to use {path}"
    if not system.has_owners:
        return StoreInaccessible(directory, f"{what}: its permissions refuse it, or another program has it open")
    try:
        owner = path.lstat().st_uid
    except OSError:
        path = directory
        try:
            owner = path.lstat().st_uid
        except OSError:
            return StoreInaccessible(directory, f"{what}, as {system.user_name(system.effective_user())}")
    user = system.effective_user()
    if owner == user:
        return StoreInaccessible(
            directory, f"{what}, although it belongs to {system.user_name(user)}; look at its mode and above"
        )
    return StoreInaccessible(
        directory,
        f"{what}, since {path.name} belongs to {system.user_name(owner)} and this process runs as "
        f"{system.user_name(user)}; run it as the owner of the store, or give the store to one user: chown -R",
    )
