"""Meta pages of LMDB's files: the data format, the page size, and the two states of a tree.

The page size belongs to the file: LMDB takes that of the host that makes it (up to 32 KiB), and keeps it elsewhere.

    page 0, page 1   head of 16 bytes, then: magic (4), format (4), address (8), map size (8), two trees of 48 bytes,
                     last page (8), transaction (8). The first tree begins with the page size (4). The newer one counts.

LMDB 1.0 (format 3) has a head of 24 bytes. Its files are recognised, and not read.
"""

import mmap
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from crudjt import _filesystem
from crudjt.errors import StoreInaccessible

DATA_FILE = "data.mdb"
LIB_VERSION = 0  # LMDB 0.9, also where the environment or a later py-lmdb makes 1.0 the default

PAGE_HEAD_BYTES = 16
_NEWER_PAGE_HEAD_BYTES = 24
_META = Struct("<IIQQI44sIHHQQQQQQQ")
_MAGIC = (0xBEEFC0DE).to_bytes(4, "little")
_MAX_PAGE_BYTES = 32_768
_PAGE_SIZES = tuple(2**exponent for exponent in range(9, 16))


class Meta(NamedTuple):
    """One of the two states that a tree file holds."""

    transaction: int
    root: int
    map_size: int
    page_bytes: int


def read_metas(descriptor: int) -> list[Meta]:
    """Return the intact states of a tree file, the newest first."""
    found: list[Meta] = []
    for offset in (0, *_PAGE_SIZES):
        page = _filesystem.read_at(descriptor, PAGE_HEAD_BYTES + _META.size, offset)
        if len(page) < PAGE_HEAD_BYTES + _META.size or not page.startswith(_MAGIC, PAGE_HEAD_BYTES):
            continue
        fields = _META.unpack_from(page, PAGE_HEAD_BYTES)
        page_bytes = fields[4]
        if page_bytes in _PAGE_SIZES and offset in (0, page_bytes):
            found.append(Meta(transaction=fields[-1], root=fields[-3], map_size=fields[3], page_bytes=page_bytes))
    return sorted(found, reverse=True)


def usual_page_bytes() -> int:
    """Return the page size of the files that LMDB makes on this host, in bytes."""
    return min(mmap.PAGESIZE, _MAX_PAGE_BYTES)


def refuse_other_format(path: Path) -> None:
    """Refuse a tree file of LMDB 1.0. One that is missing or damaged is not refused.

    Raises:
        StoreInaccessible: it is one.

    """
    if not _filesystem.is_regular(path):
        return
    with _filesystem.opened(path) as descriptor:
        head = _filesystem.read_at(descriptor, _NEWER_PAGE_HEAD_BYTES + len(_MAGIC), 0)
    if head.startswith(_MAGIC, _NEWER_PAGE_HEAD_BYTES):
        raise StoreInaccessible(
            path,
            "was written by LMDB 1.0, whose data format crudjt does not read; use the crudjt that wrote it",
        )
