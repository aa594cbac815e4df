"""The view: an LMDB tree of the sessions in the log, shared by all processes through the page cache.

Keys: ``t`` + id -> record; ``s`` + subject tag + id -> empty; ``m`` -> the current segment, which gives the transaction
that changes segments something to commit.

Opened without syncing and with a writable map: a killed process cannot damage it, an operating-system crash can, so
it is never trusted across a boot. On file systems where an allocated block may still fail to be written, the map
stays read-only, which costs time and no safety.
"""

import ctypes
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import lmdb._envid  # forks: see _OpenTrees

from crudjt import _filesystem
from crudjt._backends.embedded.engine.lmdb_errors import MAX_READERS, translated
from crudjt._backends.embedded.engine.lmdb_format import DATA_FILE, LIB_VERSION
from crudjt._backends.embedded.engine.room import (
    PAGES_PER_CHANGE,
    PAGES_PER_WRITE,
    RESERVE_PAGES,
    WRITES_AHEAD,
    Room,
    allocate_ahead,
    is_plenty,
)
from crudjt._core.changes import SESSION
from crudjt._core.process_guard import guard
from crudjt._filesystem import host, ownership
from crudjt._filesystem.flock import alone_in

SEGMENT_KEY = b"m"

LMDB_LOCK_FILE = "lock.mdb"

ViewError = lmdb.Error
NoFreeSlot = lmdb.ReadersFullError
Snapshot = lmdb.Transaction

# A transaction copies what it touches: a full store must still be able to delete, and to be made again in large steps.
MAP_TO_SIZE = 3
# Pages fill up behind the sessions that rotations move, and are merged once less than a quarter of one is in use. So
# the tree of a full store grows by up to three quarters where all its sessions are rotated.
_ENDING_TO_SIZE = 2

_LOCK_FILE_BYTES = 128 * 1024  # two thousand reader slots; LMDB takes as many as fit
_SPARE_READS = 8  # kept for so many threads that read at once: to begin a new one takes a lock of all processes


class SizeReached(Exception):
    """A write transaction would grow the tree beyond `max_size`."""


class View:
    """An open tree."""

    def __init__(self, directory: Path, max_size: int) -> None:
        """Open or create the tree in `directory`, of up to `max_size` bytes of live pages.

        Raises:
            StoreError: LMDB refused.

        """
        self.directory = directory
        self.max_size = max_size
        self.map_size = MAP_TO_SIZE * max_size
        self.preallocates = host.file_system(directory) in host.PREALLOCATING_FILE_SYSTEMS
        self._prepare_files()
        self.env = _open(
            directory,
            map_size=self.map_size,
            mode=ownership.FILE_MODE,
            sync=False,
            metasync=False,
            writemap=self.preallocates,
            max_spare_txns=_SPARE_READS,
        )
        self.page_bytes = int(self.env.stat()["psize"])
        # How many pages the tree may have after a transaction that ends as many sessions as it begins.
        self.limit_of_ending = _ENDING_TO_SIZE * max_size // self.page_bytes
        self.begin = self.env.begin
        self._tree = self.env.open_db(None)
        self.clear_dead_readers()

    def _prepare_files(self) -> None:
        """Create the files before LMDB does, which would follow links and leave root as their owner."""
        data_file, lock_file = self.directory / DATA_FILE, self.directory / LMDB_LOCK_FILE
        if not _filesystem.is_regular(data_file):
            with _filesystem.opened(data_file, os.O_RDWR | os.O_CREAT):
                pass
        # Not opened where it exists: to close it would drop the locks that LMDB may have on it in this process.
        if not _filesystem.is_regular(lock_file):
            with (
                _filesystem.removed_on_failure(lock_file),
                _filesystem.opened(lock_file, os.O_RDWR | os.O_CREAT) as descriptor,
            ):
                _filesystem.allocate(descriptor, 0, _LOCK_FILE_BYTES, self.directory)

    def scan(self, prefix: bytes, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` items whose keys have `prefix`, from the key `start` on."""
        items: list[tuple[bytes, bytes]] = []
        with self._begin() as transaction, transaction.cursor() as cursor:
            if cursor.set_range(start):
                for key, value in cursor:
                    if len(items) == limit or not key.startswith(prefix):
                        break
                    items.append((key, value))
        return items

    def endings(self, prefix: bytes, start: bytes, limit: int) -> tuple[list[bytes], int]:
        """Return what follows `prefix` in up to `limit` keys, from the key `start` on, and the id of the snapshot."""
        endings: list[bytes] = []
        length = len(prefix)
        with self._begin() as transaction, transaction.cursor() as cursor:
            if cursor.set_range(start):
                for key in islice(cursor.iternext(keys=True, values=False), limit):
                    if not key.startswith(prefix):
                        break
                    endings.append(key[length:])
            return endings, transaction.id()

    def scan_back(self, prefix: bytes, before: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` items whose keys have `prefix`, from the last one that is less than `before` on."""
        items: list[tuple[bytes, bytes]] = []
        with self._begin() as transaction, transaction.cursor() as cursor:
            if cursor.prev() if cursor.set_range(before) else cursor.last():
                for key, value in cursor.iterprev():
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
        """Size of the pages that hold live data, in bytes."""
        return _pages(self.env.stat()) * self.page_bytes

    def make_room(self, allocated: int, changes: int, pages: int, to_leave: float = 0) -> Room:
        """Allocate blocks for the next transaction, and if possible for those after it.

        Args:
            allocated: bytes of the file that are allocated, as an earlier call returned it.
            changes: number of changes in the transaction.
            pages: pages that their content may take.
            to_leave: part of the reserve that the transaction must leave, from 0 to 1.

        Call it under the write lock, and enforce the limit that it returns with `check_size`.

        Raises:
            StoreFull: the disk has no room for the transaction.

        """
        first = int(self.env.info()["last_pgno"]) + 1
        page_bytes = self.page_bytes
        most = self.max_size // page_bytes
        if is_plenty(first, changes, pages, most, allocated // page_bytes):
            return Room(allocated, WRITES_AHEAD, 0)
        stat = self.env.stat()
        tree, used = int(stat["branch_pages"] + stat["leaf_pages"]), _pages(stat)
        left = most - used - pages
        limit = max(most, used) if left < 0 else 0
        writes = min(max(left, 1), WRITES_AHEAD)
        if not self.preallocates:
            return Room(allocated, writes, limit)
        # What is changed is copied, and what is freed is listed, 512 to a page.
        listed = used // 512
        needed = min(changes * PAGES_PER_CHANGE, tree) + pages + listed + PAGES_PER_WRITE
        reserve = RESERVE_PAGES + listed
        left_alone = int(reserve * to_leave)
        needs = needed + left_alone, reserve - left_alone
        allocated = allocate_ahead(self.directory / DATA_FILE, page_bytes, self.map_size, allocated, first, *needs)
        ahead = allocated // page_bytes - first - needed - reserve
        # Within the reserve each transaction looks.
        return Room(allocated, min(writes, 1 + ahead // PAGES_PER_WRITE) if ahead >= 0 else 0, limit)

    def check_size(self, transaction: Any, limit: int) -> None:
        """Raise if a write transaction has grown the tree beyond `limit` pages.

        Raises:
            SizeReached: it has. The transaction is not committed yet.

        """
        if _pages(transaction.stat(self._tree)) > limit:
            raise SizeReached

    def snapshot(self) -> Snapshot:
        """Return a read transaction of the last commit, for `copy`."""
        snapshot: Snapshot = self._begin()
        return snapshot

    def _begin(self) -> Any:
        try:
            return self.begin()
        except NoFreeSlot:
            return self.begin_again()

    def begin_again(self) -> Any:
        """Begin a read transaction when no slot was free, after freeing those of dead processes."""
        self.clear_dead_readers()
        return self.begin()

    def copy(self, target: int, snapshot: Snapshot) -> int:
        """Write a compact copy of a snapshot into a new descriptor; return its size. LMDB does not sync it."""
        os.lseek(target, 0, os.SEEK_SET)  # where LMDB writes; not every system leaves that to `_filesystem`
        try:
            self.env.copyfd(target, compact=True, txn=snapshot)
        except lmdb.Error as error:
            raise translated(error, self.directory) from error
        return os.lseek(target, 0, os.SEEK_CUR)

    def clear_dead_readers(self) -> int:
        """Free the reader slots of dead processes, which would hold back the reuse of pages."""
        return int(self.env.reader_check())

    def close(self) -> None:
        """Close the tree."""
        self.env.close()

    def abandon(self) -> None:
        """Abandon an inherited tree permanently, in a forked child.

        Closing it here would free reader slots that the parent is using, and would wait for ever for a write
        transaction of a thread that the fork did not copy. So it stays open in memory, unreachable, even past the end
        of the interpreter.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.env))


def _pages(stat: Mapping[str, Any]) -> int:
    return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])


@contextmanager
def opened_to_read(directory: Path, map_size: int) -> Generator[Callable[[], Snapshot]]:
    """Open a tree read-only for a block; yields a function that begins a snapshot.

    The process must not have the tree open already: closing the second one would drop the locks of the first.
    """
    env = _open(directory, map_size=map_size, readonly=True, create=False)
    try:
        yield env.begin
    finally:
        env.close()


def _open(directory: Path, **options: Any) -> lmdb.Environment:
    """Open a tree, one process after the other.

    The first process to open it initializes LMDB's lock file. One that waits for it in LMDB, and not here, would go on
    with what a death has left half made: the last commit would be lost.
    """
    try:
        with alone_in(directory):
            return lmdb.open(str(directory), max_readers=MAX_READERS, max_dbs=0, lib_version=LIB_VERSION, **options)
    except lmdb.Error as error:
        raise translated(error, directory) from error


class _OpenTrees:
    """py-lmdb's registry of open trees, by which it refuses to open a file twice in one process."""

    def leave_to_parent(self) -> None:
        """Make py-lmdb's registry that of a new process, which may open what its parent has open."""
        process = os.getpid()
        env_keys_of: Any = lmdb._envid  # noqa: SLF001 - there is no public way
        inherited: Callable[[str, int], tuple[object, ...]] = env_keys_of.env_keys

        def env_keys(path: str, subdir: int) -> tuple[object, ...]:
            return tuple((process, key) for key in inherited(path, subdir))

        env_keys_of.env_keys = env_keys


_open_trees = _OpenTrees()
guard(_open_trees)
