"""Read a whole segment of the log, with all checks."""

import os
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path

from crudjt import _filesystem
from crudjt._backends.embedded.engine.segment import (
    ENTRY_HEAD_BYTES,
    HEADER_BLOCK_BYTES,
    LENGTH_AND_CRC_BYTES,
    Damage,
    Entry,
    SegmentHeader,
    decode_entry,
    decode_header,
    decode_mark,
    unpack_entry_head,
)
from crudjt._filesystem import contents
from crudjt.errors import StoreCorrupt

_CHUNK_BYTES = 1024**2


def is_empty(segment: Path) -> bool:
    """Tell whether a segment has no entries: only zeros follow the header block."""
    with _filesystem.opened(segment) as descriptor:
        whole = len(os.read(descriptor, HEADER_BLOCK_BYTES)) == HEADER_BLOCK_BYTES
        return whole and not any(chunk.strip(b"\0") for chunk in iter(lambda: os.read(descriptor, _CHUNK_BYTES), b""))


class SegmentReader:
    """Reads a segment, for recovery and `doctor`.

    Attributes:
        content: the bytes of the file.
        filled: offset of the zeros at the end of the file, at least the size of the header block.
        damage: the damage at which `entries` stopped, if any.

    """

    def __init__(
        self, path: Path, end: int | None = None, header: SegmentHeader | None = None, *, alone: bool = False
    ) -> None:
        """Read a segment up to `end`, or all of it; `header` replaces one that is damaged.

        With `alone`, map the file, which may be large; else read it into memory, since a writer may cut it.

        Raises:
            StoreCorrupt: its header is damaged.

        """
        self.path = path
        self.content: bytes | mmap = contents.mapped_to_read(path) if alone else contents.read_file(path)[:end]
        self.header = header or decode_header(path, self.content[:HEADER_BLOCK_BYTES])
        if header is None and len(self.content) < HEADER_BLOCK_BYTES:
            raise StoreCorrupt(path, len(self.content), "the file ends inside its header block")
        self.filled = max(_end_before_zeros(self.content), HEADER_BLOCK_BYTES)
        self.damage: Damage | None = None

    def close(self) -> None:
        """Unmap the file. Some systems cut no file that is mapped."""
        if isinstance(self.content, mmap):
            self.content.close()

    @property
    def synced_end(self) -> int:
        """The offset up to which the segment is known to have been on disk."""
        return decode_mark(self.content, self.header.crc_salt)

    def entries(self) -> Iterator[Entry]:
        """Yield the entries in order up to the end or the first damage, which `damage` then holds."""
        offset, sequence = HEADER_BLOCK_BYTES, self.header.first_sequence
        while offset < self.filled:
            entry = self.entry_at(offset)
            if isinstance(entry, Damage):
                self.damage = entry
                return
            if entry.sequence != sequence:
                self.damage = Damage(offset, f"entry {entry.sequence} stands where {sequence} should")
                return
            yield entry
            offset, sequence = entry.end, sequence + 1

    def entry_at(self, offset: int) -> Entry | Damage:
        """Return the entry that begins at `offset`, or what is wrong there."""
        return decode_entry(self.content, offset, self.header.crc_salt)

    def entry_after(self, offset: int, sequence: int) -> Entry | None:
        """Return the next undamaged entry after `offset` whose sequence is at least `sequence`."""
        for start in range(offset + 1, min(self.filled, len(self.content) - ENTRY_HEAD_BYTES)):
            entry = self.entry_at(start) if self._plausible(start, sequence) else None
            if isinstance(entry, Entry):
                return entry
        return None

    def _plausible(self, offset: int, sequence: int) -> bool:
        length, _, found = unpack_entry_head(self.content, offset)
        left = len(self.content) - offset
        return bool(ENTRY_HEAD_BYTES <= length + LENGTH_AND_CRC_BYTES <= left and sequence <= found <= sequence + left)


def _end_before_zeros(content: bytes | mmap) -> int:
    end = len(content)
    chunk = b""
    while end and not (chunk := content[max(end - _CHUNK_BYTES, 0) : end].rstrip(b"\0")):
        end = max(end - _CHUNK_BYTES, 0)
    return end and max(end - _CHUNK_BYTES, 0) + len(chunk)
