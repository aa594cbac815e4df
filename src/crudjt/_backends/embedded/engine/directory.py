"""Checks of a directory before it is used as a store, and the errors that name its owner and the remedy."""

import stat
from pathlib import Path

from crudjt import _filesystem
from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.layout import (
    BASE_DIRECTORY,
    CONTROL_FILE,
    STORE_LOCK_FILE,
    VIEW_DIRECTORY,
    WRITER_LOCK_FILE,
)
from crudjt._backends.embedded.engine.log import LOG_DIRECTORY
from crudjt._backends.embedded.engine.os_errors import inaccessible
from crudjt._backends.embedded.engine.segment import segment_numbers
from crudjt._filesystem import host, ownership
from crudjt._filesystem.platform import system
from crudjt.errors import StoreInaccessible

_INNER_DIRECTORIES = (VIEW_DIRECTORY, LOG_DIRECTORY, BASE_DIRECTORY)
_OWN_NAMES = {STORE_LOCK_FILE, WRITER_LOCK_FILE, CONTROL_FILE, manifest.NAME, *_INNER_DIRECTORIES, "lost+found"}


def holds_store(directory: Path) -> bool:
    """Tell whether a directory holds a store, or the remains of one whose manifest is lost.

    Raises:
        StoreInaccessible: there is no permission to look.

    """
    try:
        return (
            _filesystem.is_regular(directory / manifest.NAME)
            or bool(segment_numbers(directory / LOG_DIRECTORY))
            or any((directory / BASE_DIRECTORY).glob("*.mdb"))
        )
    except PermissionError as error:
        raise inaccessible(error, directory) from error


def prepare_directory(directory: Path, *, create: bool, allow_shared: bool) -> None:
    """Make the directory of a store if it is missing, and refuse one that cannot be a store.

    Args:
        directory: of the store.
        create: whether there may be no store yet.
        allow_shared: whether other users may be able to put files into it.

    Raises:
        StoreInaccessible: it holds no store, or something else; it is on a network file system; other users can put
            files into it.
        UnsafeFile: something in it is a link.

    """
    try:
        if not directory.is_dir():
            if not create and not directory.exists():
                raise StoreInaccessible(directory, "there is no store here")
            _filesystem.make_directories(directory)
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreInaccessible(directory, "is a file, or lies in one; a store is a directory") from error
    kind = host.file_system(directory)
    if kind in host.NETWORK_FILE_SYSTEMS:
        raise StoreInaccessible(directory, f"lies on a network file system ({kind}); use a local disk, or gRPC")
    if not allow_shared:
        refuse_shared(directory)
    for name in _INNER_DIRECTORIES:
        if (directory / name).is_symlink():
            raise StoreInaccessible(directory, f"{name} is a link; no store has one")
    if not _filesystem.exists(directory / manifest.NAME) and not holds_store(directory):
        if not create:
            raise StoreInaccessible(directory, "there is no store here")
        _refuse_other_content(directory)


def _refuse_other_content(directory: Path) -> None:
    others = sorted(
        each.name
        for each in directory.iterdir()
        if each.name not in _OWN_NAMES and not (each.suffix == ".tmp" and each.name.partition(".")[0] in _OWN_NAMES)
    )
    if others:
        raise StoreInaccessible(
            directory,
            f"is no store, and holds something else ({others[0]!r} for instance); name a new or an empty directory",
        )


def refuse_shared(directory: Path) -> None:
    """Refuse a directory in which other users can plant or replace files.

    Root may use the directory of any user, and the members of a group one that is shared with it (mode 2770).

    Raises:
        StoreInaccessible: it is such a directory.

    """
    if not system.has_owners:
        return
    status, user = directory.stat(), system.effective_user()
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    otherwise = "to use it all the same, open it with allow_shared_directory (--allow-shared-directory)"
    if status.st_mode & stat.S_IWOTH:
        raise StoreInaccessible(
            directory,
            f"every user can write to it (mode {mode}); name a new directory in it, or run chmod o-w; {otherwise}",
        )
    shared = ownership.is_shared(status)
    if status.st_mode & stat.S_IWGRP and not shared:
        raise StoreInaccessible(
            directory,
            f"its group {system.group_name(status.st_gid)} can write to it (mode {mode}); run chmod g-w, or share the "
            f"store with the group: chmod g+s; {otherwise}",
        )
    if user != 0 and status.st_uid not in {user, 0} and not shared:
        raise StoreInaccessible(
            directory,
            f"belongs to {system.user_name(status.st_uid)}, and this process runs as {system.user_name(user)}; run it "
            f"as the owner, or share the directory with a group: chmod 2770; {otherwise}",
        )
