"""A look at the write lock of the view, which tells without waiting whether a process holds it.

LMDB can only be asked to wait for its lock. But the lock is a robust mutex in the lock file, which every process that
has the view open maps. The kernel must know its owner, so the form of its word is fixed (Linux: robust-futex-ABI): 0
while it is free, else the thread id of the owner, with a bit each for waiters and for an owner that died. Only its
place in the file is a matter of the C library; it is found by looking while this thread holds the lock. Where that
fails, on another system say, the lock never seems free, and nothing relies on more.

The map is a second one of the pages that LMDB has mapped (`mremap` of nothing). To open the lock file again is no way:
whoever closes a descriptor of it loses the process's locks on it, which LMDB needs.
"""

import ctypes
import mmap
import threading
import weakref
from pathlib import Path

from crudjt._backends.embedded.engine.own_maps import mapped

_OWNER_MASK = 0x3FFF_FFFF  # FUTEX_TID_MASK
_MREMAP_MAYMOVE = 1
_MAP_FAILED = ctypes.c_void_p(-1).value
_WORDS = mmap.PAGESIZE // 4

_libc = ctypes.CDLL(None, use_errno=True)


class WriteLock:
    """The word of the write lock, once it was found: ``words[index]``, which is 0 while no thread holds it.

    `words` may be used only as long as this object is.
    """

    def __init__(self, address: int, index: int) -> None:
        """Map the page at an address again; the word is the one at `index`."""
        self.words = (ctypes.c_uint32 * _WORDS).from_address(_mapped_again(address))
        self.index = index
        weakref.finalize(self, _libc.munmap, ctypes.c_void_p(ctypes.addressof(self.words)), mmap.PAGESIZE)


def find_held(lock_file: Path) -> WriteLock | None:
    """Find the lock, which the calling thread holds; ``None`` where it cannot be found."""
    owner = threading.get_native_id()
    try:
        for address in mapped(lock_file):
            words = (ctypes.c_uint32 * _WORDS).from_address(address)
            for index, word in enumerate(words):
                if word & _OWNER_MASK == owner:
                    return WriteLock(address, index)
    except (AttributeError, OSError, ValueError):
        pass
    return None


def _mapped_again(address: int) -> int:
    mremap = _libc.mremap
    mremap.restype = ctypes.c_void_p
    mapped: int | None = mremap(
        ctypes.c_void_p(address), ctypes.c_size_t(0), ctypes.c_size_t(mmap.PAGESIZE), _MREMAP_MAYMOVE
    )
    if mapped is None or mapped == _MAP_FAILED:
        raise OSError(ctypes.get_errno(), "mremap failed")
    return mapped
