"""Where files are mapped in this process, and pages that are mapped ahead.

A process that has just opened the view takes a page fault at its first look at each 64 KiB of it: half of the uncached
reads of a million sessions did. The kernel maps what is in memory much faster, many pages with one call.
"""

import ctypes
import functools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct

_MOST_BYTES = 4 * 1024**3  # half a second, and 8 MiB of page tables
_STEP_BYTES = 16 * 1024**2  # some milliseconds, after which the interpreter is needed again
_MADV_POPULATE_READ = 22  # Linux 5.14; missing from the module mmap

_AUXILIARY = Struct("@LL")  # what the kernel tells a process at its start: pairs of kind and value
_AT_PAGESZ = 6

_resident = re.compile(rb"\x01+", re.DOTALL)


@functools.cache
def c_library() -> ctypes.CDLL:
    """Return the C library of this process, where a system has one to ask (not Windows)."""
    return ctypes.CDLL(None, use_errno=True)


def mapped(file: Path) -> Iterator[int]:
    """Yield where a file is mapped in this process, to be shared and writable."""
    inode, name = b"%d" % file.stat().st_ino, os.fsencode(f"/{file.name}")
    # As bytes: a path may be no text, or hold characters that end a line of text.
    for line in Path("/proc/self/maps").read_bytes().split(b"\n")[:-1]:
        fields = line.split(maxsplit=5)
        if fields[4] == inode and fields[1].startswith(b"rw-s") and fields[-1].endswith(name):
            yield int(fields[0].partition(b"-")[0], 16)


def map_ahead(file: Path, size: int, before_each: Callable[[], None]) -> None:
    """Map the first `size` bytes of a file, as far as they are in memory, where this process has it mapped.

    What would have to be read from disk is left alone: it would take memory from others, and time. Where the kernel
    cannot do it, nothing happens. `before_each` is called before each step of some milliseconds, and may end it by an
    exception.
    """
    with suppress(AttributeError, KeyError, OSError):
        page_bytes = _page_bytes()
        for address in mapped(file):
            end = address + min(size, _MOST_BYTES)
            for start in range(address, end, _STEP_BYTES):
                before_each()
                if not _map_resident(start, min(_STEP_BYTES, end - start), page_bytes):
                    return
            return


def _page_bytes() -> int:
    """Return the size of the kernel's pages. `mincore` writes a byte for each, so that of the C library does not do."""
    of_kind = dict(_AUXILIARY.iter_unpack(Path("/proc/self/auxv").read_bytes()))
    return int(of_kind[_AT_PAGESZ])


def _map_resident(address: int, length: int, page_bytes: int) -> bool:
    """Map those pages that are in memory; return whether the kernel did."""
    pages = ctypes.create_string_buffer(-(-length // page_bytes))
    libc = c_library()
    if libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(length), pages):
        return False
    for run in _resident.finditer(pages.raw):
        first, count = address + run.start() * page_bytes, len(run[0]) * page_bytes
        if libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(count), _MADV_POPULATE_READ):
            return False
    return True
