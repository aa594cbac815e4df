"""Every file operation that durability rests on.

Nothing else in the engine writes to disk on its own, except LMDB to the view, which is never trusted across a boot.
Tests put faults in here. What differs between systems is in `crudjt._filesystem.platform`.
"""

import errno
import mmap
import os
import secrets
import shutil
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from crudjt._filesystem.ownership import (
    DIRECTORY_MODE,
    FILE_MODE,
    SHARED_DIRECTORY_MODE,
    SHARED_FILE_MODE,
    give_to_owner,
    is_for_others,
)
from crudjt._filesystem.platform import system

BLOCK_BYTES = 4096  # in which file systems give out space
DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_TEMPORARY = ".tmp"  # the end of a name that is not the final one
_PARENTS_MODE = 0o777  # minus the umask; other files may be there, too
_ZEROS_BYTES = 64 * 1024


DIRECTORY = system.directory

is_read_only = system.is_read_only


def free_bytes(path: Path) -> int:
    """Return the bytes this user may still allocate where `path` lies."""
    return system.free_bytes(path)


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Return up to `size` bytes at `offset`; fewer at the end of the file."""
    return system.pread(descriptor, size, offset)


class UnsafeFile(OSError):
    """A file or directory that may have been planted. The text of the error is a whole sentence."""


def open_file(path: Path, flags: int = os.O_RDWR) -> int:
    """Return a descriptor of a regular file, or with ``DIRECTORY`` of a directory.

    A file that is made here belongs to the owner of its directory, also if root makes it, and no other user may use it;
    in a directory that `is_shared`, the group may. No link is followed, and a FIFO is not waited for.

    Raises:
        UnsafeFile: the path is a link, a FIFO, a socket or a device.

    """
    safe = flags & ~os.O_CREAT | system.open_flags
    if not flags & DIRECTORY:
        safe |= system.no_links
    try:
        descriptor = _open_or_make(path, safe, may_make=bool(flags & os.O_CREAT))
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO} and not path.parent.is_symlink():
            raise UnsafeFile(error.errno, f"{path} is a link or no regular file", str(path)) from error
        raise
    if not flags & DIRECTORY and not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnsafeFile(errno.EINVAL, f"{path} is no regular file", str(path))
    return descriptor


def _open_or_make(path: Path, flags: int, *, may_make: bool) -> int:
    while True:
        if not flags & os.O_EXCL:
            try:
                return system.open(path, flags)
            except FileNotFoundError:
                if not may_make:
                    raise
        try:
            return _make(path, flags)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise


def _make(path: Path, flags: int) -> int:
    made = _name_to_make(path)
    descriptor = system.open(made, flags | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with removed_on_failure(made):
            give_to_owner(descriptor, path, FILE_MODE, SHARED_FILE_MODE)
            if made != path:
                os.link(made, path)
                remove(made)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _name_to_make(path: Path) -> Path:
    """Return a temporary name for a file or directory that is there for other users, else its own.

    Between its making and `give_to_owner` only the maker can open it, and a maker that is killed then leaves it so.
    """
    return temporary_beside(path) if path.suffix != _TEMPORARY and is_for_others(path) else path


def exists(path: Path) -> bool:
    """Tell whether there is something of this name, if only a link to nothing."""
    return os.path.lexists(path)


def is_regular(path: Path) -> bool:
    """Tell whether a path is a regular file, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Generator[int]:
    """Keep a descriptor open for a block."""
    descriptor = open_file(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`.

    Raises:
        OSError: ``ENOSPC`` on a short write, which is how a disk that fills up shows first.

    """
    written = system.pwrite(descriptor, data, offset)
    if written != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def truncate(descriptor: int, size: int) -> None:
    """Cut a file to `size` bytes."""
    system.ftruncate(descriptor, size)


def sync_data(descriptor: int) -> None:
    """Sync content and size of a file to disk. A failure is final: never call again (fsyncgate)."""
    system.fdatasync(descriptor)


def sync_directory(path: Path) -> None:
    """Sync the names in a directory to disk; without it, a rename may be lost."""
    if system.syncs_names:
        with opened(path, os.O_RDONLY | DIRECTORY) as descriptor:
            system.fsync(descriptor)


def make_directory(path: Path, mode: int = DIRECTORY_MODE) -> None:
    """Make a directory for its owner alone, and its name durable."""
    path.mkdir(mode=mode, exist_ok=True)
    sync_directory(path.parent)


def make_inner_directory(path: Path) -> None:
    """Make a directory inside a store for those who may use the store, and its name durable.

    Raises:
        UnsafeFile: the path is a link or a file.

    """
    if not exists(path):
        made = _name_to_make(path)
        made.mkdir(mode=DIRECTORY_MODE)
        if system.has_owners:
            with opened(made, os.O_RDONLY | DIRECTORY | system.no_links) as descriptor:
                give_to_owner(descriptor, path, DIRECTORY_MODE, SHARED_DIRECTORY_MODE)
        if made != path:
            made.rename(path)
    elif path.is_symlink() or not path.is_dir():
        raise UnsafeFile(errno.ENOTDIR, f"{path} is no directory, or a link to one", str(path))
    sync_directory(path.parent)


def make_directories(path: Path, mode: int = DIRECTORY_MODE) -> None:
    """Make a directory for its owner alone, with those above it that are missing, and all their names durable."""
    if not path.parent.is_dir():
        make_directories(path.parent, _PARENTS_MODE)
    make_directory(path, mode)


def make_temporary_directory(target: Path) -> Path:
    """Make an empty directory beside a target, with a name that cannot be guessed, for this user alone."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}{_TEMPORARY}")
    temporary.mkdir(mode=DIRECTORY_MODE)
    return temporary


def temporary_beside(path: Path) -> Path:
    """Return a name for a file that will replace `path`. It cannot be guessed, and ends in ``.tmp``."""
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}{_TEMPORARY}")


def publish(temporary: Path, final: Path) -> None:
    """Give a complete and synced file its final name, atomically and durably."""
    system.replace(temporary, final)
    sync_directory(final.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Write a whole file so that readers and crashes see the old one or the new one."""
    temporary = temporary_beside(path)
    with removed_on_failure(temporary):
        with opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as descriptor:
            write_at(descriptor, content, 0)
            sync_data(descriptor)
        publish(temporary, path)


@contextmanager
def removed_on_failure(temporary: Path) -> Generator[None]:
    """Remove a file if the block fails."""
    try:
        yield
    except BaseException:
        remove(temporary)
        raise


def remove(path: Path) -> None:
    """Remove a file that may be gone already. One that cannot go while it is in use may stay (Windows)."""
    system.remove(path)


def allocate(descriptor: int, offset: int, size: int, directory: Path) -> None:
    """Reserve disk blocks, so that writing them through a mapping cannot fail.

    A failing fallocate keeps what it got (ext4) and leaves the disk full, so the free space is checked first.

    Raises:
        OSError: ``ENOSPC`` where there is not enough.

    """
    if free_bytes(directory) < size + BLOCK_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    system.posix_fallocate(descriptor, offset, size)


def fill_with_zeros(descriptor: int, offset: int, size: int, piece: int = _ZEROS_BYTES) -> None:
    """Write zeros to unused space, `piece` bytes at once, so that later writes through a mapping are fast.

    The first access to an allocated page takes 4 to 5 µs on ext4. With the page in the kernel's cache, in a piece of
    many pages, it takes a fifth of that, including these writes. But a piece stays one in the kernel, and ext4 looks
    at all of its pages whenever one of them is written to for the first time since it is on disk: 2.7 µs for one
    page, 3.0 in a piece of 16 KiB, 4.3 in one of 64, 16 in a megabyte. A short write does no harm.
    """
    for start in range(offset, offset + size, piece):
        system.pwrite(descriptor, bytes(min(piece, offset + size - start)), start)


def map_window(descriptor: int, offset: int, size: int) -> mmap.mmap:
    """Map a part of a file to write it; `offset` is a multiple of ``mmap.ALLOCATIONGRANULARITY``.

    Other processes see what is copied into the map at once, and `sync_data` brings it to the disk. Access beyond the
    end of the file kills the process (SIGBUS).

    Raises:
        OSError: ``ESTALE`` where the file ends before, since it was replaced by another.

    """
    try:
        return mmap.mmap(descriptor, size, offset=offset)
    except ValueError:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from None


def remove_tree(path: Path) -> None:
    """Remove a directory that is no longer needed."""
    shutil.rmtree(path, ignore_errors=True)
