"""Linux: its own calls, and what the kernel shows in /proc."""

import ctypes
import errno
import functools
import os
import time
from pathlib import Path

from crudjt._filesystem.platform.posix import Posix

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_MOUNTS = Path("/proc/self/mountinfo")
_GET_ROBUST_LIST = {"aarch64": 100, "ppc64le": 299, "riscv64": 100, "s390x": 305, "x86_64": 274}  # system calls


class Linux(Posix):
    """Linux of any C library."""

    preallocating_file_systems = frozenset({"ext2", "ext3", "ext4", "tmpfs", "xfs"})  # measured: docs/decisions.md
    kernel_files = frozenset({str(_BOOT_ID), str(_MOUNTS)})

    fdatasync = staticmethod(os.fdatasync)

    @staticmethod
    def posix_fallocate(descriptor: int, offset: int, size: int, /) -> None:
        try:
            os.posix_fallocate(descriptor, offset, size)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            _write_blocks(descriptor, offset, size)

    @staticmethod
    def file_system(path: Path) -> str:
        device = path.stat().st_dev
        wanted = b"%d:%d" % (os.major(device), os.minor(device))
        found = b""
        # As bytes: a mount point may be no text, or hold characters that end a line of text.
        for line in _MOUNTS.read_bytes().split(b"\n")[:-1]:
            before, _, after = line.partition(b" - ")
            if before.split(b" ")[2] == wanted:
                found = after.split(b" ")[0]
        return found.decode()

    @staticmethod
    def has_robust_locks() -> bool:
        return _lists_robust_locks()

    @staticmethod
    def boot_id() -> str:
        return _BOOT_ID.read_text().strip()

    @staticmethod
    def boot_time() -> int:
        return round(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))

    @staticmethod
    def boot_clock_ns() -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    @staticmethod
    def pid_namespace() -> int:
        try:
            return _PID_NAMESPACE.stat().st_ino
        except OSError:
            return 0


def _write_blocks(descriptor: int, offset: int, size: int) -> None:
    """Give a range blocks where the file system cannot allocate (ext2, ext3, much of FUSE). Only glibc does so itself.

    What is in the range stays, if nothing else writes to it.
    """
    end = offset + size
    block = min(os.fstatvfs(descriptor).f_bsize, 4096)
    for start in range(offset // block * block, end, block):
        at = min(start + block, end) - 1
        if os.pread(descriptor, 1, at) in {b"", b"\0"}:
            os.pwrite(descriptor, b"\0", at)


@functools.cache
def _lists_robust_locks() -> bool:
    """Ask the kernel for the list of this thread's robust locks. Emulation by qemu-user has none."""
    number = _GET_ROBUST_LIST.get(os.uname().machine)
    if number is None:
        return True
    head, size = ctypes.c_void_p(), ctypes.c_size_t()
    library = ctypes.CDLL(None, use_errno=True)
    answer = library.syscall(number, 0, ctypes.byref(head), ctypes.byref(size))
    return answer == 0 or ctypes.get_errno() != errno.ENOSYS
