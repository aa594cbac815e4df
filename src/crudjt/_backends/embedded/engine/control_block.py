"""The control block: a small file that every process maps, with named fields of 8 bytes.

It is valid for one boot: a rebuild of the view makes a new one. A load or a store of one aligned 8-byte word is
atomic; nothing wider is, and not every processor keeps the order of several. What writers read of each other is ordered
by LMDB's write mutex. What is read without it checks itself: words of the cache by the id of the snapshot
(read_cache.py), slots by their last word.

Where the log ends is kept twice, by parity of the LMDB transaction id. A write transaction has the id of the last
committed one plus one; it reads the slot of the last and fills its own. A writer that dies before its commit leaves its
slot half filled and the other untouched, and the next writer, with the same id, starts from the other again.

Any transaction may be refused, fail or die before its commit. So a word that is set before the commit must be true
without it as well:

- slots: the half of a transaction that did not commit is not looked at, but to find what it left in the log;
- the words of the cache: a value that no commit follows costs misses;
- WORD_ALLOCATED, WORD_LOG_ALLOCATED: they describe files, are raised after these have grown, and lowered before they
  are cut;
- the inodes of segments: that of a segment which no commit has made the current one is not looked at;
- WORD_WRITING: set before the transaction and cleared after it, both under a lock of its own;
- WORD_FAILED where a move begins: a process that meets MOVING looks for the note, and goes on where there is none;
- WORD_ATTENTION: raised only where the room was found for transactions that need no look, whether this one is among
  them or not; near max_size, where a transaction may be refused, it is not raised at all.

All other words are set after the commit, or after the sync, sweep or compaction that they tell of.
"""

import mmap
import os
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from crudjt import _filesystem
from crudjt._filesystem import host

MAGIC = 0x34304C5254434A54  # "TJCTRL04"

WORD_MAGIC = 0
WORD_FAILED = 1  # not 0: every process stops or looks, for this reason: DISK_FAILED, FILES_REPLACED or MOVING
WORD_ATTENTION = 2  # transaction id from which a writer must look at the view's free room; 0 after a failure
WORD_ALLOCATED = 3  # bytes of the view's data file that are allocated on disk
WORD_SYNCED_SEQUENCE = 4  # last log entry known to be on disk
WORD_SYNCED_END = 5  # its end in the current segment
WORD_SYNCED_AT = 6  # milliseconds since 1970, as the next two
WORD_SWEPT_AT = 7
WORD_COMPACTED_AT = 8
WORD_SEALED_BYTES = 9  # log bytes in segments before the current one that a rebuild still reads
WORD_LOG_ALLOCATED = 10  # bytes of the current segment's file that may be written through a map; 0 where unknown
_WORDS_SEGMENT_INODE = (11, 12)  # inodes of the last two segments, by parity of their numbers; 0 where unknown
WORD_PID_NAMESPACE = 13  # inode of the PID namespace whose processes may have the store open; 0 where unknown
WORD_SYNCING = 14  # not 0 while a process syncs the log; one that dies in it leaves that to the next sync

WORD_HASH = 15  # what HASH_OF_THIS_PYTHON is to the processes that have the store open

WORD_WRITING = 32  # not 0 while a process is in a write transaction; used where locks are not robust (writer_guard.py)

# The slot of transaction T begins at word SLOT_WORDS[T % 2]: the transaction's id, then a LogEnd, then Python's hash of
# these five as a tuple, by which a reader without the write lock knows that they belong together.
SLOT_WORDS = (16, 24)
SLOT_OFFSETS = (8 * 16, 8 * 24)
STATE_OFFSETS = (8 * 17, 8 * 25)
HASH_OF_THIS_PYTHON = hash((2**40, 1, 2**30, 2**20, 0)) & 2**64 - 1  # that of tuples may differ between versions

# Words of the read cache, chosen by id. See read_cache.py.
_CACHE_WORDS = 262_144
FIRST_CACHE_WORD = 512
CACHE_WORDS_MASK = _CACHE_WORDS - 1
CONTROL_BYTES = (FIRST_CACHE_WORD + _CACHE_WORDS) * 8


# Native, so that each field is one store of a word.
_SLOT = Struct("@5Qq")
pack_slot = _SLOT.pack_into
unpack_state = Struct("@4Q").unpack_from
# What a writer looks at, in the order of the words: WORD_ATTENTION, WORD_LOG_ALLOCATED, and of the slots the id in its
# own, which comes first for an even id, and what follows the id in the other one.
unpack_even = Struct("@16xQ56xQ40xQ64x4Q").unpack_from
unpack_odd = Struct("@16xQ56xQ48x4Q24xQ").unpack_from
unpack_last = Struct("<12xI").unpack
unpack_each_last = Struct("<12xI").iter_unpack

LogState = tuple[int, int, int, int]  # a `LogEnd` before it has names, where making one would cost too much


OTHER_PID_NAMESPACE = (
    "it is open in a process of another PID namespace (another container), whose process ids mean nothing here; let "
    "the containers share one (docker run --pid), or open it in one container only, which runs: crudjt serve"
)
DISK_FAILED = 1  # a sync or a truncation failed
FILES_REPLACED = 2
WRITER_DIED = 4  # and has left the write lock locked
MOVING = 3  # the note of a move may be in the view: a transaction looks, and stops where it does not know of moves


class LogEnd(NamedTuple):
    """Where the log stands after a transaction; `sessions` counts the records in the view."""

    segment: int
    end: int
    sequence: int
    sessions: int


class ControlBlock:
    """The mapped fields; `words` is the whole of it, for the paths where a call would cost too much."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        """Map an existing control block; `writable` is not for the doctor, which works on a read-only disk too."""
        with _filesystem.opened(path, os.O_RDWR if writable else os.O_RDONLY) as descriptor:
            self.map = mmap.mmap(descriptor, CONTROL_BYTES, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        self.words = memoryview(self.map).cast("Q")

    @classmethod
    def create(cls, path: Path) -> "ControlBlock":
        """Make a control block that is not valid yet."""
        _filesystem.remove(path)
        with _filesystem.opened(path, os.O_RDWR | os.O_CREAT | os.O_EXCL) as descriptor:
            _filesystem.allocate(descriptor, 0, CONTROL_BYTES, path.parent)
        return cls(path)

    def begin(self, log_end: LogEnd, last_transaction: int) -> None:
        """Make the block valid, for a view whose last committed transaction is `last_transaction`."""
        self.words[WORD_SYNCED_SEQUENCE] = log_end.sequence
        self.words[WORD_SYNCED_END] = log_end.end
        self.fill_slot(last_transaction, *log_end)
        self.words[WORD_HASH] = HASH_OF_THIS_PYTHON
        self.words[WORD_MAGIC] = MAGIC

    @property
    def valid(self) -> bool:
        """Whether the block was made completely, by a Python whose hashes are those of this one."""
        return self.words[WORD_MAGIC] == MAGIC and self.words[WORD_HASH] == HASH_OF_THIS_PYTHON

    @property
    def failed(self) -> bool:
        """Whether the disk failed, or files were replaced, in any process since the last recovery."""
        return self.words[WORD_FAILED] not in (0, MOVING)

    @property
    def in_other_pid_namespace(self) -> bool:
        """Whether the processes that may have the store open are of another PID namespace, as far as that is known."""
        own, noted = host.pid_namespace(), self.words[WORD_PID_NAMESPACE]
        return bool(own and noted and own != noted)

    def fail(self, reason: int = DISK_FAILED) -> None:
        """Stop every process, or make it look: writers look at the flag, and readers once their caches are void."""
        self.words[WORD_FAILED] = reason
        self.words[WORD_ATTENTION] = 0
        for word in range(FIRST_CACHE_WORD, FIRST_CACHE_WORD + _CACHE_WORDS):
            self.words[word] = 2**64 - 1

    def note_segment(self, number: int, path: Path) -> None:
        """Note the inode of a new segment, before a transaction makes it the current one."""
        self.words[_WORDS_SEGMENT_INODE[number & 1]] = path.stat().st_ino

    def segment_inode(self, number: int) -> int:
        """Return the inode of the current segment, 0 where it is unknown."""
        return self.words[_WORDS_SEGMENT_INODE[number & 1]]

    def slot(self, transaction: int) -> LogState:
        """Return what a transaction left in its slot: the fields of a `LogEnd`. Needs the write lock."""
        return unpack_state(self.map, STATE_OFFSETS[transaction & 1])

    def log_end(self, transaction: int) -> LogEnd | None:
        """Return what a transaction left in its slot, ``None`` where a later one fills it. Needs no lock."""
        *fields, check = _SLOT.unpack_from(self.map, SLOT_OFFSETS[transaction & 1])
        if fields[0] != transaction or check != hash(tuple(fields)):
            return None
        return LogEnd._make(fields[1:])

    def end_if_last(self, transaction: int) -> LogEnd | None:
        """Return what a committed transaction left, ``None`` where a later one fills a slot. Needs no lock."""
        return self.log_end(transaction) if self.words[SLOT_WORDS[transaction + 1 & 1]] < transaction else None

    def holds(self, transaction: int) -> bool:
        """Tell whether a slot was filled, or half filled, for this very transaction. Needs the write lock."""
        return self.words[SLOT_WORDS[transaction & 1]] == transaction

    def fill_slot(self, transaction: int, segment: int, end: int, sequence: int, sessions: int) -> None:
        """Write the log end as of `transaction` to its slot; the transaction's id is written first."""
        fields = transaction, segment, end, sequence, sessions
        pack_slot(self.map, SLOT_OFFSETS[transaction & 1], *fields, hash(fields))

    def close(self) -> None:
        """Unmap."""
        self.words.release()
        self.map.close()


def cache_word(id_: bytes) -> int:
    """Return the word of the read cache for an id, which the last of its random bytes choose."""
    last: int = unpack_last(id_)[0]
    return FIRST_CACHE_WORD + (last & CACHE_WORDS_MASK)
