"""A look at the write lock of the view, which tells without waiting whether a process holds it.

LMDB can only be asked to wait for its lock. But the lock is a robust mutex in the lock file, which every process that
has the view open maps. The kernel must know its owner, so the form of its word is fixed (Linux: robust-futex-ABI): 0
while it is free, else the thread id of the owner, with a bit each for waiters and for an owner that died. Only its
place in the file is a matter of the C library; it is found by looking while this thread holds the lock. Where that
fails, on another system say, the lock never seems free, and nothing relies on more.

The map is a second one of the pages that LMDB has mapped (`mremap` of nothing). To open the lock file again is no way:
whoever closes a descriptor of it loses the process's locks on it, which LMDB needs.

Who waits in LMDB sleeps. That costs both sides more than the write that is waited for, and who is woken may take the
processor from the next holder. So a writer watches the word for a moment first. Where that is not enough, the holder
may have been put to sleep in the middle of its write, for the sake of this very thread: then only a nap lets it go on.
"""

import ctypes
import mmap
import os
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from time import sleep

from crudjt._backends.embedded.engine.own_maps import c_library, mapped
from crudjt._core.gil import SLEEP_IS_NATIVE

_OWNER_MASK = 0x3FFF_FFFF  # FUTEX_TID_MASK
_MREMAP_MAYMOVE = 1
_MAP_FAILED = ctypes.c_void_p(-1).value
_WORD_BYTES = 4
_MAP_BYTES = mmap.PAGESIZE
_WORDS = _MAP_BYTES // _WORD_BYTES
# Before it lie numbers, the id of the last transaction among them, that may look like a thread's. The lock comes before
# what LMDB notes of threads that read.
_FIRST_WORD = 16
_LOOKS = 1000  # some 40 microseconds: a few writes
_WATCHES = 8  # of so many looks, while the holder may have another processor
_NAPS = 50 if SLEEP_IS_NATIVE else 0  # some 5 milliseconds
_NAP_SECONDS = 20e-6  # Linux makes it some 75

_STAT_BYTES = 1024
_STATE, _PROCESSOR = 0, 36  # fields of /proc/ID/stat that follow the name in brackets


class WriteLock:
    """The write lock of a view, as this process sees it.

    Attributes:
        word: its first item is not 0 while a thread of any process holds the lock; of no use until `found`.
        watched: the same, or a word that is always 0 where to watch it would be in vain.
        prepared: where LMDB has mapped the lock file; not empty if the next thread that holds the lock is to find it.

    """

    def __init__(self, lock_file: Path) -> None:
        """Take the lock file, which LMDB has mapped when `find` is called."""
        self._file = lock_file
        self.prepared: list[int] = []
        self.found = False
        self.word = memoryview(bytes(_WORD_BYTES)).cast("I")
        self.watched = self.word

    def prepare(self) -> None:
        """Let the next `find_prepared` find the lock."""
        if not self.found:
            with suppress(OSError, ValueError):
                self.prepared = list(mapped(self._file))

    def find_prepared(self) -> None:
        """Find the lock, which the calling thread holds, once after `prepare`."""
        pages, self.prepared = self.prepared, []
        if self.found:  # another thread may be looking at the word that would go
            return
        owner = threading.get_native_id()
        for address in pages:
            with suppress(AttributeError, OSError):
                # Looked at in a map of its own: that of a store which was closed before may have gone since `prepare`.
                words = (ctypes.c_uint32 * _WORDS).from_address(_mapped_again(address))
                unmap = weakref.finalize(self, c_library().munmap, ctypes.c_void_p(ctypes.addressof(words)), _MAP_BYTES)
                for index, word in enumerate(words[_FIRST_WORD:], _FIRST_WORD):
                    if word & _OWNER_MASK == owner:
                        self._keep(memoryview(words).cast("B").cast("I")[index : index + 1])
                        return
                unmap()

    def _keep(self, word: "memoryview[int]") -> None:
        self.word = word
        self.found = True
        if len(os.sched_getaffinity(0)) > 1:  # else the holder cannot go on while this process watches
            self.watched = word


def watch(word: "memoryview[int]") -> None:
    """Return when the lock is free, or after some milliseconds: its holder may be stopped."""
    for _ in range(_LOOKS):
        if not word[0]:
            return
    for number in range(_WATCHES + _NAPS):
        if _NAPS and (number >= _WATCHES or _has_no_processor(word[0] & _OWNER_MASK)):
            sleep(_NAP_SECONDS)
        for _ in range(_LOOKS):
            if not word[0]:
                return


def _has_no_processor(thread: int) -> bool:
    """Return whether the kernel is known to run another thread in place of this one: the caller, maybe."""
    try:
        descriptor = os.open(f"/proc/{thread}/stat", os.O_RDONLY)
        try:
            fields = os.read(descriptor, _STAT_BYTES).rpartition(b") ")[2].split()
        finally:
            os.close(descriptor)
        return fields[_STATE] != b"R" or int(fields[_PROCESSOR]) == c_library().sched_getcpu()
    except (OSError, IndexError, ValueError):  # it has ended, or this system has other ways
        return False


def _mapped_again(address: int) -> int:
    mremap = c_library().mremap
    mremap.restype = ctypes.c_void_p
    mapped: int | None = mremap(
        ctypes.c_void_p(address), ctypes.c_size_t(0), ctypes.c_size_t(_MAP_BYTES), _MREMAP_MAYMOVE
    )
    if mapped is None or mapped == _MAP_FAILED:
        raise OSError(ctypes.get_errno(), "mremap failed")
    return mapped
