"""Read a segment of the log past its damage."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from crudjt._backends.embedded.engine.segment import HEADER_BLOCK_BYTES, Damage, Entry, SegmentHeader
from crudjt._backends.embedded.engine.segment_reader import SegmentReader
from crudjt._filesystem import contents
from crudjt.errors import StoreCorrupt

_CRC_SALT_OFFSETS = (24, 2048 + 24)


class Hole(NamedTuple):
    """A stretch of a segment that holds no readable entry; `sequence` is the first one missing."""

    offset: int
    end: int
    sequence: int


def surviving_entries(reader: SegmentReader, holes: list[Hole]) -> Iterator[Entry]:
    """Yield every intact entry of a segment in order, and record the gaps between them."""
    offset, sequence = HEADER_BLOCK_BYTES, reader.header.first_sequence
    end = max(reader.filled, min(reader.synced_end, len(reader.content)))  # zeros before the mark are lost entries
    while offset < end:
        found: Entry | Damage | None = reader.entry_at(offset)
        if not isinstance(found, Entry) or found.sequence < sequence:
            found = reader.entry_after(offset, sequence)
            holes.append(Hole(offset, found.offset if found else end, sequence))
            if found is None:
                return
        yield found
        offset, sequence = found.end, found.sequence + 1


def read_segment(path: Path) -> SegmentReader | None:
    """Read a segment, even one whose header is damaged twice if the salt of its CRCs is left; ``None`` if not."""
    try:
        return SegmentReader(path)
    except StoreCorrupt:
        content = contents.read_file(path)
    for at in _CRC_SALT_OFFSETS:
        crc_salt = int.from_bytes(content[at : at + 4], "little")
        reader = SegmentReader(path, header=SegmentHeader(int(path.stem), 0, crc_salt, b""))
        first = reader.entry_at(HEADER_BLOCK_BYTES)
        if isinstance(first, Entry):
            reader.header = reader.header._replace(first_sequence=first.sequence)
            return reader
    return None
