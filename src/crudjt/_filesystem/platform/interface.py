"""The interface of an operating system, as far as a store in a directory needs it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path


class System(ABC):
    """An operating system. What POSIX has too bears its name, and means the same.

    Attributes:
        has_owners: whether the owner and the mode of a file tell who may use it.
        syncs_names: whether the names in a directory reach the disk by a sync of the directory, and not without.
        removes_mapped_files: whether a file can be removed while it is mapped.
        open_flags: for `open`, always.
        no_links: a flag for `open`, which refuses a link then (``ELOOP``).
        directory: a flag for `open`, which opens a directory then, to lock it.
        default_max_size: of a store, in bytes.
        preallocating_file_systems: where a block that was allocated ahead never fails to be written later, so that a
            full disk is no SIGBUS, and where the map of LMDB may be writable. Copy-on-write file systems break this
            promise, and so do LMDBs that were built without memory barriers.
        kernel_files: what the kernel has to show to this process.

    """

    has_owners: bool
    syncs_names: bool
    removes_mapped_files: bool
    open_flags: int
    no_links: int
    directory: int
    default_max_size: int
    preallocating_file_systems: frozenset[str]
    kernel_files: frozenset[str]

    # Files

    @staticmethod
    @abstractmethod
    def open(path: Path, flags: int, mode: int = 0o777, /) -> int:
        """Return a descriptor."""

    @staticmethod
    @abstractmethod
    def pread(descriptor: int, size: int, offset: int, /) -> bytes:
        """Read up to `size` bytes at an offset. The position of the descriptor may change."""

    @staticmethod
    @abstractmethod
    def pwrite(descriptor: int, data: bytes, offset: int, /) -> int:
        """Write at an offset, and return how much. The position of the descriptor may change."""

    @staticmethod
    @abstractmethod
    def ftruncate(descriptor: int, size: int, /) -> None:
        """Give a file another size."""

    @staticmethod
    @abstractmethod
    def posix_fallocate(descriptor: int, offset: int, size: int, /) -> None:
        """Make a file reach to the end of a range, with blocks for all of it as far as the file system gives them."""

    @staticmethod
    @abstractmethod
    def fdatasync(descriptor: int, /) -> None:
        """Return when content and size of a file are on disk."""

    @staticmethod
    @abstractmethod
    def fsync(descriptor: int, /) -> None:
        """Return when a file or a directory is on disk."""

    @staticmethod
    @abstractmethod
    def replace(source: Path, target: Path) -> None:
        """Give a file the name of another, or a directory that of an empty one."""

    @staticmethod
    @abstractmethod
    def remove(path: Path) -> None:
        """Remove a file that may be gone already. One that cannot go while it is in use may stay."""

    @staticmethod
    @abstractmethod
    def free_bytes(path: Path) -> int:
        """Return the bytes that this user may still allocate where a path lies."""

    @staticmethod
    @abstractmethod
    def allocated_bytes(path: Path) -> int:
        """Return the bytes that a file takes on disk; a view is a sparse file."""

    @staticmethod
    @abstractmethod
    def is_read_only(path: Path) -> bool:
        """Tell whether a path lies on a file system that is mounted read-only."""

    @staticmethod
    @abstractmethod
    def file_system(path: Path) -> str:
        """Return the type of the file system that holds a directory, as the system names it; "" where unknown."""

    # Locks

    @staticmethod
    @abstractmethod
    def lock(descriptor: int, *, exclusive: bool, wait: bool = False) -> bool:
        """Take or convert the lock of a file; return whether it succeeded. It ends with the descriptor.

        What fails to convert a lock has lost it.
        """

    @staticmethod
    @abstractmethod
    def unlock(descriptor: int) -> None:
        """Release the lock of a file, in every process that shares the descriptor."""

    @staticmethod
    @abstractmethod
    def lock_for_process(descriptor: int) -> None:
        """Wait for a lock that ends with this process, even if forked children have the descriptor too."""

    @staticmethod
    @abstractmethod
    def unlock_for_process(descriptor: int) -> None:
        """Release what `lock_for_process` took."""

    @staticmethod
    @abstractmethod
    def has_robust_locks() -> bool:
        """Tell whether LMDB's write lock is released if its owner dies."""

    # The boot and the processes

    @staticmethod
    @abstractmethod
    def boot_id() -> str:
        """Return what tells this run of the system from others."""

    @staticmethod
    @abstractmethod
    def boot_time() -> int:
        """Return when the system was started, by its present clock, in seconds since 1970."""

    @staticmethod
    @abstractmethod
    def boot_clock_ns() -> int:
        """Return a time in nanoseconds that cannot be set, and goes on while the host sleeps."""

    @staticmethod
    @abstractmethod
    def pid_namespace() -> int:
        """Return the inode of this process's PID namespace; 0 where there is none, or it is hidden."""

    @staticmethod
    @abstractmethod
    def at_fork(*, before: Callable[[], object], after_in_parent: Callable[[], object]) -> None:
        """Have functions called when Python forks this process."""

    # Users

    @staticmethod
    @abstractmethod
    def effective_user() -> int:
        """Return the number of the user that this process runs as; 0 where users have none."""

    @staticmethod
    @abstractmethod
    def user_name(number: int) -> str:
        """Return the name of a user, if it has one, and its number."""

    @staticmethod
    @abstractmethod
    def group_name(number: int) -> str:
        """Return the name of a group, if it has one, and its number."""
