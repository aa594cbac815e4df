"""Facts about this host: the boot, the PID namespace, its locks, and the types of its file systems."""

from typing import NamedTuple

from crudjt._filesystem.platform import system

DEFAULT_MAX_SIZE = system.default_max_size
KERNEL_FILES = system.kernel_files
PREALLOCATING_FILE_SYSTEMS = system.preallocating_file_systems
# lmdb.h: "Do not use LMDB databases on remote filesystems". flock and coherent shared mappings are at stake.
NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "fuse.sshfs", "fuse.glusterfs", "gfs2", "glusterfs", "lustre",
     "ncpfs", "network drive", "nfs", "nfs4", "ocfs2", "smb3", "smbfs", "webdav"}
)  # fmt: skip

boot_clock_ns = system.boot_clock_ns
file_system = system.file_system
has_robust_locks = system.has_robust_locks
pid_namespace = system.pid_namespace


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
    return Boot(system.boot_id(), system.boot_time())
