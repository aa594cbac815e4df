"""The owner and the mode of new files and directories."""

import os
import stat
from pathlib import Path

from crudjt._filesystem.platform import system

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
SHARED_FILE_MODE = 0o660
SHARED_DIRECTORY_MODE = 0o2770


def give_to_owner(descriptor: int, path: Path, own_mode: int, shared_mode: int) -> None:
    """Make a new file or directory what the directory above says: whose it is, and whether its group may use it."""
    if not system.has_owners:
        return
    above, made = path.parent.stat(), os.fstat(descriptor)
    shared = is_shared(above)
    if system.effective_user() == 0 and (made.st_uid != above.st_uid or (shared and made.st_gid != above.st_gid)):
        os.fchown(descriptor, above.st_uid, above.st_gid)
    mode = shared_mode if shared else own_mode
    if stat.S_IMODE(made.st_mode) & ~stat.S_ISGID != mode & ~stat.S_ISGID:
        os.fchmod(descriptor, mode)


def is_for_others(path: Path) -> bool:
    """Tell whether a new file or directory is to belong to another user, or is there for a group."""
    above = path.parent.stat()
    return above.st_uid != system.effective_user() or is_shared(above)


def is_shared(directory: os.stat_result) -> bool:
    """Tell whether a directory is there for all of its group: setgid and writable for the group (mode 2770)."""
    return bool(directory.st_mode & stat.S_ISGID and directory.st_mode & stat.S_IWGRP)


def readable_by_others(path: Path) -> int | None:
    """Return the mode of a regular file that group or others may use, ``None`` for other files."""
    mode = path.stat().st_mode
    told = system.has_owners and stat.S_ISREG(mode)
    return stat.S_IMODE(mode) if told and mode & 0o077 else None
