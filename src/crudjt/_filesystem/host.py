"""Facts of the kernel about this host: the boot, the PID namespace, its locks, and the types of its file systems."""

import ctypes
import errno
import functools
import os
import time
from pathlib import Path
from typing import NamedTuple

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_MOUNTS = Path("/proc/self/mountinfo")
KERNEL_FILES = frozenset({str(_BOOT_ID), str(_MOUNTS)})
"""What the kernel has to show to this process."""

_GET_ROBUST_LIST = {"aarch64": 100, "ppc64le": 299, "riscv64": 100, "s390x": 305, "x86_64": 274}  # system calls

# lmdb.h: "Do not use LMDB databases on remote filesystems". flock and coherent shared mappings are at stake.
NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.sshfs", "fuse.glusterfs", "gfs2", "glusterfs", "lustre", "ncpfs",
     "nfs", "nfs4", "ocfs2", "smb3", "smbfs"}
)  # fmt: skip
# Where a block that was allocated ahead never fails to be written later, so that a full disk is no SIGBUS. Measured:
# docs/decisions.md. Copy-on-write file systems break this promise.
PREALLOCATING_FILE_SYSTEMS = frozenset({"ext2", "ext3", "ext4", "tmpfs", "xfs"})


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


@functools.cache
def has_robust_locks() -> bool:
    """Tell whether the kernel releases a lock in shared memory whose owner dies. Emulation by qemu-user does not."""
    number = _GET_ROBUST_LIST.get(os.uname().machine)
    if number is None:
        return True
    head, size = ctypes.c_void_p(), ctypes.c_size_t()
    library = ctypes.CDLL(None, use_errno=True)
    return library.syscall(number, 0, ctypes.byref(head), ctypes.byref(size)) == 0 or ctypes.get_errno() != errno.ENOSYS


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
