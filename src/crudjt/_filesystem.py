"""Every file operation that durability rests on, and every difference between platforms.

Nothing else in the engine writes to disk on its own, except LMDB to the view, which is never trusted across a boot.
Tests put faults in here.
"""

import errno
import fcntl
import hashlib
import mmap
import os
import secrets
import shutil
import stat
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from crudjt.errors import InvalidParameter

BLOCK_BYTES = 4096  # in which file systems give out space
FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
_SHARED_FILE_MODE = 0o660
_SHARED_DIRECTORY_MODE = 0o2770
_PARENTS_MODE = 0o777  # minus the umask; other files may be there, too

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_MOUNTS = Path("/proc/self/mountinfo")
KERNEL_FILES = frozenset({str(_BOOT_ID), str(_MOUNTS)})
"""What the kernel has to show to this process."""

_ZEROS_BYTES = 64 * 1024  # a megabyte at once takes as long as no zeros at all
_COPY_CHUNK_BYTES = 1024**2

# lmdb.h: "Do not use LMDB databases on remote filesystems". flock and coherent shared mappings are at stake.
NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.sshfs", "fuse.glusterfs", "gfs2", "glusterfs", "lustre", "ncpfs",
     "nfs", "nfs4", "ocfs2", "smb3", "smbfs"}
)  # fmt: skip
# Where a block that was allocated ahead never fails to be written later, so that a full disk is no SIGBUS. Measured:
# docs/decisions.md. Copy-on-write file systems break this promise.
PREALLOCATING_FILE_SYSTEMS = frozenset({"ext2", "ext3", "ext4", "tmpfs", "xfs"})

DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Boot(NamedTuple):
    """One run of the operating system.

    The kernel's random id tells runs apart; some single-board kernels repeat it, hence the time of the boot beside it,
    which moves when the wall clock is set.
    """

    id: str
    time: int

    def started_with(self, other: "Boot") -> bool:
        """Tell whether two times can be of one boot, given a slewed clock."""
        return abs(self.time - other.time) <= 5  # noqa: PLR2004 - seconds


def current_boot() -> Boot:
    """Return the boot this process runs in."""
    return Boot(_BOOT_ID.read_text().strip(), round(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)))


def pid_namespace() -> int:
    """Return the inode of this process's PID namespace; 0 where it is hidden."""
    try:
        return _PID_NAMESPACE.stat().st_ino
    except OSError:
        return 0


def file_system(path: Path) -> str:
    """Return the type of the file system that holds a directory, as the kernel names it; "" where unknown."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    found = ""
    for line in _MOUNTS.read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            found = after.split()[0]
    return found


def is_read_only(path: Path) -> bool:
    """Tell whether a path lies on a file system that is mounted read-only."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def free_bytes(path: Path) -> int:
    """Return the bytes this user may still allocate where `path` lies."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


class UnsafeFile(OSError):
    """A file or directory that may have been planted. The text of the error is a whole sentence."""


def open_file(path: Path, flags: int = os.O_RDWR) -> int:
    """Return a descriptor of a regular file, or of a directory with ``O_DIRECTORY``.

    A file that is made here belongs to the owner of its directory, also if root makes it, and no other user may use it;
    in a directory that `is_shared`, the group may. No link is followed, and a FIFO is not waited for.

    Raises:
        UnsafeFile: the path is a link, a FIFO, a socket or a device.

    """
    safe = flags & ~os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    if not flags & os.O_DIRECTORY:
        safe |= os.O_NOFOLLOW
    try:
        descriptor = _open_or_make(path, safe, may_make=bool(flags & os.O_CREAT))
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO} and not path.parent.is_symlink():
            raise UnsafeFile(error.errno, f"{path} is a link or no regular file", str(path)) from error
        raise
    if not flags & os.O_DIRECTORY and not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnsafeFile(errno.EINVAL, f"{path} is no regular file", str(path))
    return descriptor


def _open_or_make(path: Path, flags: int, *, may_make: bool) -> int:
    while True:
        if not flags & os.O_EXCL:
            try:
                return os.open(path, flags)
            except FileNotFoundError:
                if not may_make:
                    raise
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, FILE_MODE)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            continue
        try:
            _give_to_owner(descriptor, path, FILE_MODE, _SHARED_FILE_MODE)
        except BaseException:
            os.close(descriptor)
            remove(path)
            raise
        return descriptor


def _give_to_owner(descriptor: int, path: Path, own_mode: int, shared_mode: int) -> None:
    """Make a new file or directory what the directory above says: whose it is, and whether its group may use it."""
    above, made = path.parent.stat(), os.fstat(descriptor)
    shared = is_shared(above)
    if os.geteuid() == 0 and (made.st_uid != above.st_uid or (shared and made.st_gid != above.st_gid)):
        os.fchown(descriptor, above.st_uid, above.st_gid)
    mode = shared_mode if shared else own_mode
    if stat.S_IMODE(made.st_mode) & ~stat.S_ISGID != mode & ~stat.S_ISGID:
        os.fchmod(descriptor, mode)


def is_shared(directory: os.stat_result) -> bool:
    """Tell whether a directory is there for all of its group: setgid and writable for the group (mode 2770)."""
    return bool(directory.st_mode & stat.S_ISGID and directory.st_mode & stat.S_IWGRP)


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
    written = os.pwrite(descriptor, data, offset)
    if written != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def truncate(descriptor: int, size: int) -> None:
    """Cut a file to `size` bytes."""
    os.ftruncate(descriptor, size)


def sync_data(descriptor: int) -> None:
    """Sync content and size of a file to disk. A failure is final: never call again (fsyncgate)."""
    os.fdatasync(descriptor)


def sync_directory(path: Path) -> None:
    """Sync the names in a directory to disk; without it, a rename may be lost."""
    with opened(path, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        os.fsync(descriptor)


def make_directory(path: Path, mode: int = DIRECTORY_MODE) -> None:
    """Make a directory for its owner alone, and its name durable."""
    path.mkdir(mode=mode, exist_ok=True)
    sync_directory(path.parent)


def make_inner_directory(path: Path) -> None:
    """Make a directory inside a store for those who may use the store, and its name durable.

    Raises:
        UnsafeFile: the path is a link or a file.

    """
    try:
        path.mkdir(mode=DIRECTORY_MODE)
    except FileExistsError:
        if path.is_symlink() or not path.is_dir():
            raise UnsafeFile(errno.ENOTDIR, f"{path} is no directory, or a link to one", str(path)) from None
    else:
        with opened(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) as descriptor:
            _give_to_owner(descriptor, path, DIRECTORY_MODE, _SHARED_DIRECTORY_MODE)
    sync_directory(path.parent)


def make_directories(path: Path, mode: int = DIRECTORY_MODE) -> None:
    """Make a directory for its owner alone, with those above it that are missing, and all their names durable."""
    if not path.parent.is_dir():
        make_directories(path.parent, _PARENTS_MODE)
    make_directory(path, mode)


def make_temporary_directory(target: Path) -> Path:
    """Make an empty directory beside a target, with a name that cannot be guessed, for this user alone."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    temporary.mkdir(mode=DIRECTORY_MODE)
    return temporary


def temporary_beside(path: Path) -> Path:
    """Return a name for a file that will replace `path`. It cannot be guessed, and ends in ``.tmp``."""
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")


def publish(temporary: Path, final: Path) -> None:
    """Give a complete and synced file its final name, atomically and durably."""
    temporary.rename(final)
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
    """Remove a file that may be gone already."""
    path.unlink(missing_ok=True)


def allocate(descriptor: int, offset: int, size: int, directory: Path) -> None:
    """Reserve disk blocks, so that writing them through a mapping cannot fail.

    A failing fallocate keeps what it got (ext4) and leaves the disk full, so the free space is checked first.

    Raises:
        OSError: ``ENOSPC`` where there is not enough.

    """
    if free_bytes(directory) < size + BLOCK_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.posix_fallocate(descriptor, offset, size)


def fill_with_zeros(descriptor: int, offset: int, size: int) -> None:
    """Write zeros to unused space, so that later writes through a mapping are fast.

    The first access to an allocated page takes 4 to 5 µs on ext4. With the page in the kernel's cache, in a piece of
    many pages, it takes a fifth of that, including these writes. A short write does no harm.
    """
    for start in range(offset, offset + size, _ZEROS_BYTES):
        os.pwrite(descriptor, bytes(min(_ZEROS_BYTES, offset + size - start)), start)


def read_file(path: Path) -> bytes:
    """Return the content of a file."""
    with opened(path) as descriptor:
        return b"".join(_chunks(descriptor))


def mapped_to_read(path: Path) -> bytes | mmap.mmap:
    """Return the content of a file as a map. No process may shorten the file while the map is in use.

    It is read once, since a bad sector raises an error when read, and kills the process when mapped.
    """
    with opened(path) as descriptor:
        size = os.fstat(descriptor).st_size
        for offset in range(0, size, _COPY_CHUNK_BYTES):
            os.pread(descriptor, _COPY_CHUNK_BYTES, offset)
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) if size else b""


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


def copy_file(source: Path, target: int) -> tuple[int, str]:
    """Copy a file into an open descriptor; return its size and SHA-256 as copied."""
    digest = hashlib.sha256()
    offset = 0
    with opened(source) as descriptor:
        for chunk in _chunks(descriptor):
            digest.update(chunk)
            write_at(target, chunk, offset)
            offset += len(chunk)
    return offset, digest.hexdigest()


def digest_file(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a file."""
    digest = hashlib.sha256()
    size = 0
    with opened(path) as descriptor:
        for chunk in _chunks(descriptor):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, _COPY_CHUNK_BYTES):
        yield chunk


def lock(descriptor: int, *, exclusive: bool, wait: bool = False) -> bool:
    """Take or convert an flock; return whether it succeeded. It ends with the last copy of the descriptor."""
    operation = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Release an flock, in every process that shares the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def remove_tree(path: Path) -> None:
    """Remove a directory that is no longer needed."""
    shutil.rmtree(path, ignore_errors=True)


def read_parameter_file(parameter: str, path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file that a parameter names.

    Raises:
        InvalidParameter: it cannot be read. The message leaves the path out, since callers have passed a secret in
            place of the path to it.

    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InvalidParameter(parameter, f"cannot read the file that {parameter} names: {reason}") from None


def readable_by_others(path: Path) -> int | None:
    """Return the mode of a regular file that group or others may use, ``None`` for other files."""
    mode = path.stat().st_mode
    return stat.S_IMODE(mode) if stat.S_ISREG(mode) and mode & 0o077 else None
