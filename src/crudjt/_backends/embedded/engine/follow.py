"""Follow the log of a live store: read what is committed, from a position on, without a lock and without a writer."""

import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from crudjt import _filesystem
from crudjt._backends.embedded.engine.control_block import LogEnd
from crudjt._backends.embedded.engine.segment import (
    HEADER_BLOCK_BYTES,
    Damage,
    Entry,
    SegmentHeader,
    decode_entry,
    decode_header,
    entry_bytes,
    segment_numbers,
    segment_path,
)
from crudjt._core.events import Position
from crudjt.errors import StoreCorrupt

_CHUNK_BYTES = 1024**2


class Gap(NamedTuple):
    """Entries were lost: the log was compacted, or is another one. What follows begins behind this position."""

    position: Position


class Read(NamedTuple):
    """An entry, and where it lies."""

    segment: SegmentHeader
    entry: Entry


class LogFollower:
    """Reads the entries of a log in order, each once.

    It keeps the segment that it reads open, and the next one from when it sees it on. So a compaction takes away only
    what lies between these and the snapshot.
    """

    def __init__(self, log: Path, log_end: Callable[[], LogEnd]) -> None:
        """Take the directory of the segments, and what returns the end of the log as of the last commit."""
        self._log = log
        self._log_end = log_end
        self._segment: _OpenSegment | None = None
        self._next: _OpenSegment | None = None
        self._offset: int = 0
        self._sequence: int = 0  # of the last entry that was read
        self._gap = False

    def start_at_end(self) -> None:
        """Begin with the next commit."""
        while True:
            end = self._log_end()
            try:
                self._segment = _OpenSegment(self._log, end.segment)
            except FileNotFoundError:  # a compaction has removed it
                continue
            self._offset, self._sequence = end.end, end.sequence
            return

    def start_at_oldest(self) -> None:
        """Begin with the oldest entry."""
        self._segment = self._oldest_after(0)
        self._rewind()

    def start_after(self, position: Position, passed: Callable[[Read], object]) -> None:
        """Begin behind an entry, or if it was read in part only, with it; tell a gap if it is not there any more.

        `passed` is called with each entry of its segment that comes before.
        """
        if not self._find(position, passed):
            self.start_at_oldest()
            self._gap = True

    def read(self) -> Iterator[Read | Gap]:
        """Yield all that is committed now and was not read yet."""
        end = self._log_end()
        segment = self._segment
        assert segment is not None, "a start was chosen"
        if self._gap:
            self._gap = False
            yield Gap(self._position())
        while True:
            is_last = segment.header.number >= end.segment
            if not is_last:
                self._next = self._oldest_after(segment.header.number)
            for entry in segment.entries(self._offset, end.end if is_last else segment.size):
                self._offset, self._sequence = entry.end, entry.sequence
                yield Read(segment.header, entry)
            if is_last:
                return
            before = self._sequence
            assert self._next is not None, "the segment was not the last one"
            self._segment = segment = self._next
            self._rewind()
            if self._sequence != before:
                yield Gap(self._position())

    def _find(self, position: Position, passed: Callable[[Read], object]) -> bool:
        try:
            segment = _OpenSegment(self._log, position.segment)
        except FileNotFoundError:
            return self._find_next(position)
        if segment.header.crc_salt != position.salt:
            return False
        self._segment = segment
        self._rewind()
        end = self._log_end()
        limit = end.end if segment.header.number == end.segment else segment.size
        if position.sequence == self._sequence and not position.done:
            return True
        for entry in segment.entries(self._offset, limit):
            if entry.sequence == position.sequence and position.done:
                return True
            self._offset, self._sequence = entry.end, entry.sequence
            passed(Read(segment.header, entry))
            if entry.sequence == position.sequence:
                return True
        return False

    def _find_next(self, position: Position) -> bool:
        """Begin with the segment behind one that is gone, if that one was read to its end."""
        try:
            segment = _OpenSegment(self._log, position.segment + 1)
        except FileNotFoundError:
            return False
        self._segment = segment
        self._rewind()
        return self._sequence == position.sequence and not position.done

    def _rewind(self) -> None:
        assert self._segment is not None, "a segment was opened"
        self._offset, self._sequence = HEADER_BLOCK_BYTES, self._segment.header.first_sequence - 1

    def _position(self) -> Position:
        assert self._segment is not None, "a segment was opened"
        header = self._segment.header
        return Position(header.number, header.crc_salt, self._sequence, 0)

    def _oldest_after(self, number: int) -> "_OpenSegment":
        """Open the oldest segment above a number."""
        while True:
            for each in segment_numbers(self._log):
                if each > number:
                    try:
                        return _OpenSegment(self._log, each)
                    except FileNotFoundError:
                        break  # a compaction has removed it
            else:
                raise StoreCorrupt(segment_path(self._log, number + 1), 0, "a segment of the log is missing")


class _OpenSegment:
    """A segment, which can be read also when a compaction has removed it."""

    def __init__(self, log: Path, number: int) -> None:
        self._path = segment_path(log, number)
        self._descriptor = _filesystem.open_file(self._path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        self.header = decode_header(self._path, _filesystem.read_at(self._descriptor, HEADER_BLOCK_BYTES, 0))

    @property
    def size(self) -> int:
        """The size of the file, which is the end of its entries once the next segment has begun."""
        return os.fstat(self._descriptor).st_size

    def entries(self, offset: int, end: int) -> Iterator[Entry]:
        """Yield the entries between two offsets, with offsets of the file."""
        while offset < end:
            chunk = _filesystem.read_at(self._descriptor, min(_CHUNK_BYTES, end - offset), offset)
            whole = entry_bytes(chunk, 0)
            if whole > len(chunk):  # a large transaction
                chunk = _filesystem.read_at(self._descriptor, min(whole, end - offset), offset)
            at = 0
            while at < len(chunk) and (not at or at + entry_bytes(chunk, at) <= len(chunk)):
                found = decode_entry(chunk, at, self.header.crc_salt)
                if isinstance(found, Damage):
                    raise StoreCorrupt(self._path, offset + at, found.reason)
                at = found.end
                yield found._replace(offset=offset + found.offset, end=offset + found.end)
            offset += at
