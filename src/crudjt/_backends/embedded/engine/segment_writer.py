"""Create a segment of the log, append to it, and sync it."""

import os
import weakref
from pathlib import Path

from crudjt import _filesystem
from crudjt._backends.embedded.engine.segment import (
    HEADER_BLOCK_BYTES,
    MARK_OFFSET,
    SegmentHeader,
    decode_header,
    encode_header,
    encode_mark,
    segment_path,
)


def create_segment(directory: Path, number: int, first_sequence: int, store_salt: bytes) -> None:
    """Create an empty segment durably. A segment with its final name always has a complete header."""
    header = SegmentHeader(number, first_sequence, int.from_bytes(os.urandom(4), "little"), store_salt)
    _filesystem.replace_file(segment_path(directory, number), encode_header(header))


class SegmentWriter:
    """An open segment of a live store: appended to under the write lock, synced by any process."""

    def __init__(self, directory: Path, number: int) -> None:
        """Open an existing segment.

        Raises:
            StoreCorrupt: its header is damaged.

        """
        path = segment_path(directory, number)
        self.number = number
        self.descriptor = _filesystem.open_file(path)
        self.close = weakref.finalize(self, os.close, self.descriptor)
        self.close.atexit = False  # the last sync of an interpreter that ends comes after such calls
        self.header = decode_header(path, _filesystem.read_at(self.descriptor, HEADER_BLOCK_BYTES, 0))
        self.crc_salt = self.header.crc_salt

    def append(self, entry: bytes, offset: int) -> None:
        """Write an entry, or leave the segment as it was and raise."""
        try:
            _filesystem.write_at(self.descriptor, entry, offset)
        except OSError:
            self.cut(offset)
            raise

    def cut(self, end: int) -> bool:
        """Cut the file to `end`, dropping what a failed or dead writer left; return whether it was longer."""
        if os.fstat(self.descriptor).st_size == end:
            return False
        _filesystem.truncate(self.descriptor, end)
        return True

    def sync(self) -> None:
        """Return when every entry that was appended before the call is on disk."""
        _filesystem.sync_data(self.descriptor)

    def mark_synced(self, end: int) -> None:
        """Record that everything before `end` is on disk, so that damage there is not taken for a torn tail."""
        _filesystem.write_at(self.descriptor, encode_mark(end, self.crc_salt), MARK_OFFSET)
