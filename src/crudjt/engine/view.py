"""The view: an LMDB tree of what the log says, shared by all processes through the page cache.

The only importer of lmdb. Keys: ``t`` + id -> record; ``s`` + subject tag + id -> empty; ``m`` -> the current
segment, which gives the transaction that changes segments something to commit.

Opened without syncing and with a writable map: a killed process cannot damage it, an operating-system crash can, so
it is never trusted across a boot. On file systems where an allocated block may still fail to be written, the map
stays read-only, which costs time and no safety.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import lmdb._envid  # fork: see View.abandon

from crudjt.engine import files
from crudjt.errors import StoreBusy, StoreError, StoreFailed, StoreFull

SESSION = b"t"
SUBJECT = b"s"
SEGMENT_KEY = b"m"

DATA_FILE = "data.mdb"
LOCK_FILE = "lock.mdb"

ViewError = lmdb.Error
Snapshot = lmdb.Transaction

# A transaction of one session touches two root-to-leaf paths of at most four pages and some pages of the free list.
PAGES_PER_WRITE = 32
WRITES_PER_CHECK = 64
_ROOM_PAGES = PAGES_PER_WRITE * WRITES_PER_CHECK
_STEP_BYTES = 4 * 1024**2

_LOCK_FILE_BYTES = 128 * 1024  # two thousand reader slots; LMDB takes as many as fit
_READERS = 1024


class View:
    """An open tree."""

    def __init__(self, directory: Path, map_size: int) -> None:
        """Open or create the tree in `directory`.

        Raises:
            StoreError: LMDB refused.

        """
        self.directory = directory
        self.map_size = map_size
        self.preallocates = files.file_system(directory) in files.PREALLOCATING_FILE_SYSTEMS
        lock_file = directory / LOCK_FILE
        if not lock_file.exists():
            with files.opened(lock_file, os.O_RDWR | os.O_CREAT) as descriptor:
                files.allocate(descriptor, 0, _LOCK_FILE_BYTES, directory)
        try:
            self.env = lmdb.open(
                str(directory),
                map_size=map_size,
                mode=files.FILE_MODE,
                sync=False,
                metasync=False,
                writemap=self.preallocates,
                max_readers=_READERS,
                max_dbs=0,
            )
        except lmdb.Error as error:
            raise translated(error, directory) from error
        self.begin = self.env.begin

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key as last committed, without a lock."""
        transaction = self.begin()
        try:
            return transaction.get(key)
        finally:
            transaction.abort()

    def scan(self, prefix: bytes, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` items whose keys have `prefix`, from the key `start` on."""
        items: list[tuple[bytes, bytes]] = []
        with self.begin() as transaction, transaction.cursor() as cursor:
            if cursor.set_range(start):
                for key, value in cursor:
                    if len(items) == limit or not key.startswith(prefix):
                        break
                    items.append((key, value))
        return items

    def sessions(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield id and record of every session of one snapshot."""
        with self.begin() as transaction, transaction.cursor() as cursor:
            if cursor.set_range(SESSION):
                for key, value in cursor:
                    if not key.startswith(SESSION):
                        break
                    yield key[1:], value

    @property
    def last_transaction(self) -> int:
        """The id of the last committed transaction."""
        return int(self.env.info()["last_txnid"])

    @property
    def used_bytes(self) -> int:
        """Bytes of the pages that hold live data."""
        stat = self.env.stat()
        return int((stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"])

    def reserve(self, allocated: int, pages: int = 0) -> int:
        """Make sure that the coming transactions find allocated blocks; return the bytes allocated now.

        Covers `WRITES_PER_CHECK` ordinary transactions and `pages` more. Call under the write lock.

        Raises:
            StoreFull: the disk has no room for them.

        """
        if not self.preallocates:
            return allocated
        wanted = (int(self.env.info()["last_pgno"]) + 1 + pages + _ROOM_PAGES) * files.PAGE_BYTES
        missing = min(wanted, self.map_size) - allocated
        if missing <= 0:
            return allocated
        step = min(-(-missing // _STEP_BYTES) * _STEP_BYTES, self.map_size - allocated)
        with files.opened(self.directory / DATA_FILE, os.O_RDWR) as descriptor:
            try:
                files.allocate(descriptor, allocated, step, self.directory)
            except OSError as error:
                if error.errno not in files.DISK_FULL_ERRNOS:
                    raise
                raise StoreFull(self.directory, "the disk is full") from error
        return allocated + step

    def snapshot(self) -> Snapshot:
        """Return a read transaction for `copy`; it sees what is committed now."""
        return self.begin()

    def copy(self, target: int, snapshot: Snapshot) -> None:
        """Write a compact copy of a snapshot into a descriptor. LMDB does not sync it."""
        try:
            self.env.copyfd(target, compact=True, txn=snapshot)
        except lmdb.Error as error:
            raise translated(error, self.directory) from error

    def clear_dead_readers(self) -> int:
        """Free the reader slots of dead processes, which would hold back the reuse of pages."""
        return int(self.env.reader_check())

    def close(self) -> None:
        """Close the tree."""
        self.env.close()

    def abandon(self) -> None:
        """Leave an inherited tree alone for good, in a forked child.

        Closing it here would free reader slots that the parent is using, and would wait for ever for a write
        transaction of a thread that the fork did not copy. So it stays open in memory, unreachable, even past the end
        of the interpreter, and py-lmdb's rule of one open tree per file and process is told of the new process.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.env))
        _forget_parents_trees()


@contextmanager
def opened_to_read(directory: Path, map_size: int) -> Iterator[Callable[[], Snapshot]]:
    """Keep a tree open for a block, without the right to change it; yields what begins a snapshot.

    Not for a tree that this process has open: LMDB would drop its locks.
    """
    try:
        env = lmdb.open(str(directory), map_size=map_size, readonly=True, create=False, max_readers=_READERS, max_dbs=0)
    except lmdb.Error as error:
        raise translated(error, directory) from error
    try:
        yield env.begin
    finally:
        env.close()


def _forget_parents_trees() -> None:
    process = os.getpid()
    inherited: Callable[[str, int], tuple[object, ...]] = lmdb._envid.env_keys  # noqa: SLF001 - there is no public way

    def env_keys(path: str, subdir: int) -> tuple[object, ...]:
        return tuple((process, key) for key in inherited(path, subdir))

    lmdb._envid.env_keys = env_keys  # noqa: SLF001 - as above


def translated(error: lmdb.Error, directory: Path) -> StoreError:
    """Return our error for one of LMDB's."""
    if isinstance(error, lmdb.MapFullError):
        return StoreFull(directory, "the store has reached max_size")
    if isinstance(error, lmdb.DiskError):
        return StoreFull(directory, "the disk is full")
    if isinstance(error, lmdb.ReadersFullError):
        return StoreBusy(directory, f"more than {_READERS} reads at once", 0.0)
    return StoreFailed(directory, f"LMDB failed with {type(error).__name__}")
