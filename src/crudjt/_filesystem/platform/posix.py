"""The part that Linux and macOS have in common."""

import errno
import fcntl
import grp
import os
import pwd
import time
from pathlib import Path

from crudjt._filesystem.platform.interface import System


class Posix(System):
    """A system with the calls of POSIX."""

    has_owners = True
    syncs_names = True
    removes_mapped_files = True
    open_flags = os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO is not waited for
    no_links = os.O_NOFOLLOW
    directory = os.O_DIRECTORY
    default_max_size = 16 * 1024**3
    kernel_files = frozenset[str]()

    open = staticmethod(os.open)
    pread = staticmethod(os.pread)
    pwrite = staticmethod(os.pwrite)
    ftruncate = staticmethod(os.ftruncate)
    fsync = staticmethod(os.fsync)
    effective_user = staticmethod(os.geteuid)
    at_fork = staticmethod(os.register_at_fork)

    @staticmethod
    def replace(source: Path, target: Path) -> None:
        source.rename(target)

    @staticmethod
    def remove(path: Path) -> None:
        path.unlink(missing_ok=True)

    @staticmethod
    def free_bytes(path: Path) -> int:
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    @staticmethod
    def allocated_bytes(path: Path) -> int:
        return path.stat().st_blocks * 512

    @staticmethod
    def is_read_only(path: Path) -> bool:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)

    @staticmethod
    def lock(descriptor: int, *, exclusive: bool, wait: bool = False) -> bool:
        operation = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB)
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            return False
        return True

    @staticmethod
    def unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    @staticmethod
    def lock_for_process(descriptor: int) -> None:
        while not _locked_for_process(descriptor):
            time.sleep(0.001)

    @staticmethod
    def unlock_for_process(descriptor: int) -> None:
        fcntl.lockf(descriptor, fcntl.LOCK_UN)

    @staticmethod
    def pid_namespace() -> int:
        return 0

    @staticmethod
    def user_name(number: int) -> str:
        try:
            return f"{pwd.getpwuid(number).pw_name} (uid {number})"
        except KeyError:
            return f"uid {number}"

    @staticmethod
    def group_name(number: int) -> str:
        try:
            return f"{grp.getgrgid(number).gr_name} (gid {number})"
        except KeyError:
            return f"gid {number}"


def _locked_for_process(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        # The kernel knows processes and no threads: two of them that write to two stores are no deadlock.
        if error.errno == errno.EDEADLK:
            return False
        raise
    return True
