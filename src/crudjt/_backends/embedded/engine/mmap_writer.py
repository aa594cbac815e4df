"""Writer of the newest segment through a map of its file, which costs less than half of a write call.

The file is allocated ahead, so the newest segment ends in zeros, and a full disk is noticed before anything is written.
The last bytes that are allocated are a reserve, as in the view. Copying past the end of a file kills the process with
SIGBUS. So a word of the control block holds how far the file is allocated. It is checked before every copy and changed
only under the write lock; it is raised after the file has grown, and lowered before the file is cut.
"""

import errno
import os
from mmap import ALLOCATIONGRANULARITY, mmap
from pathlib import Path

from crudjt import _filesystem
from crudjt._backends.embedded.engine.control_block import WORD_LOG_ALLOCATED
from crudjt._backends.embedded.engine.segment_writer import SegmentWriter

RESERVE_BYTES = 1024**2  # more than 20,000 deletes
_STEP_BYTES = 1024**2


class MappedSegmentWriter(SegmentWriter):
    """An open segment, written through a window: a map of the end of its file."""

    _window: mmap

    def __init__(self, directory: Path, number: int, words: "memoryview[int]", *, preallocates: bool) -> None:
        """Open an existing segment; `words` are those of the control block.

        Where the file system does not preallocate, there is no window, and every entry is written by a call. A cut
        still sets the word, for other processes, which may know the file system by another name.

        Raises:
            StoreCorrupt: its header is damaged.

        """
        super().__init__(directory, number)
        self._directory = directory
        self._words = words
        self._preallocates = preallocates
        self._start = self._end = 0  # of the window in the file

    def append(self, entry: bytes, offset: int) -> None:
        """Write an entry for which there is room, or leave the segment as it was and raise."""
        end = offset + len(entry)
        if end > self._end:
            if not self._preallocates:
                super().append(entry, offset)
                return
            self._move_window(offset)
        start = self._start
        self._window[offset - start : end - start] = entry

    def append_to_sync(self, entry: bytes, offset: int) -> None:
        """As `append`, for an entry that is synced at once: a sync takes from each map the right to write its pages."""
        super().append(entry, offset)

    def cut(self, end: int) -> bool:
        """Cut entries and allocated room after `end`; return whether there were any."""
        self._words[WORD_LOG_ALLOCATED] = 0  # first, for the windows of all processes
        return super().cut(end)

    def make_room(self, offset: int, end: int, to_leave: float) -> None:
        """Allocate the file up to `end`, and after it the part of the reserve that must be left, from 0 to 1.

        Call it before an `append` whose end is closer than the reserve to the end of what is allocated.

        Raises:
            OSError: ``ENOSPC``; the segment is as it was.

        """
        if not self._preallocates:
            return
        allocated = self._words[WORD_LOG_ALLOCATED]
        ahead = ((end + RESERVE_BYTES) // _STEP_BYTES + 1) * _STEP_BYTES
        for wanted in (ahead, end + RESERVE_BYTES, end + int(RESERVE_BYTES * to_leave)):
            if wanted <= allocated:
                return
            size = -(-wanted // _filesystem.BLOCK_BYTES) * _filesystem.BLOCK_BYTES
            first = max(offset, allocated)
            try:
                _filesystem.allocate(self.descriptor, first, size - first, self._directory)
                _filesystem.fill_with_zeros(self.descriptor, first, size - first)
            except OSError as error:
                if error.errno not in _filesystem.DISK_FULL_ERRNOS:
                    raise
                continue
            self._words[WORD_LOG_ALLOCATED] = size
            return
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _move_window(self, offset: int) -> None:
        """Map what is allocated from `offset` on."""
        start = offset // ALLOCATIONGRANULARITY * ALLOCATIONGRANULARITY
        allocated = self._words[WORD_LOG_ALLOCATED]
        self._window = _filesystem.map_window(self.descriptor, start, allocated - start)
        self._start, self._end = start, allocated
