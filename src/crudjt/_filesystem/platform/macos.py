"""macOS: its own calls, by way of the C library."""

import ctypes
import errno
import fcntl
import functools
import os
import sys
import time
from pathlib import Path
from struct import Struct

from crudjt._filesystem.platform.posix import Posix
from crudjt._filesystem.platform.zeros import write_zeros

assert sys.platform == "darwin"

_NO_SUCH_SYNC = {errno.ENOTSUP, errno.ENOTTY, errno.EINVAL}  # of a file system that has no such call
_TIME = Struct("@qi")  # struct timeval
_STATFS_BYTES = 4096  # of struct statfs, whose size is 2168
_STATFS_TYPE = slice(72, 88)  # f_fstypename


class MacOS(Posix):
    """macOS, on Apple's processors and Intel's."""

    preallocating_file_systems = frozenset[str]()

    @staticmethod
    def posix_fallocate(descriptor: int, offset: int, size: int, /) -> None:
        write_zeros(os.pwrite, descriptor, offset, size)

    @staticmethod
    def fdatasync(descriptor: int, /) -> None:
        """Have the disk empty its cache, which fsync does not do here."""
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in _NO_SUCH_SYNC:
                raise
            os.fsync(descriptor)

    @staticmethod
    def file_system(path: Path) -> str:
        status = ctypes.create_string_buffer(_STATFS_BYTES)
        library = _c_library()
        # On Intel the plain name is that of a call with a shorter structure.
        statfs = getattr(library, "statfs$INODE64", None) or library.statfs
        if statfs(os.fsencode(path), status):
            return ""
        return status.raw[_STATFS_TYPE].partition(b"\0")[0].decode(errors="replace")

    @staticmethod
    def has_robust_locks() -> bool:
        """Return False: LMDB uses named semaphores here, which stay taken."""
        return False

    @staticmethod
    def boot_id() -> str:
        return _kernel_value(b"kern.bootsessionuuid").partition(b"\0")[0].decode()

    @staticmethod
    def boot_time() -> int:
        seconds, _ = _TIME.unpack_from(_kernel_value(b"kern.boottime"))
        return int(seconds)

    @staticmethod
    def boot_clock_ns() -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


@functools.cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _kernel_value(name: bytes) -> bytes:
    value, size = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
    if _c_library().sysctlbyname(name, value, ctypes.byref(size), None, ctypes.c_size_t(0)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), f"sysctl {name.decode()}")
    return value.raw[: size.value]
