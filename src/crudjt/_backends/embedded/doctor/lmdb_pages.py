"""Read a tree that may be damaged, page by page, without LMDB.

LMDB trusts its pages, and a bad one may crash the process. So a suspect tree is read here, from the file, with every
bound checked. The parts of LMDB's format that are used (0.9, little-endian), besides the meta pages:

    page        number (8), padding (2), flags (2), lower (2), upper (2); then offsets of nodes (2 each) up to `lower`
    node        low (2), high (2), flags (2), key size (2), key, data; in a branch, the first three are a page number
    overflow    a value too large for a leaf lies in pages of its own, the node holds the number of the first
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from crudjt import _filesystem
from crudjt._backends.embedded.engine.lmdb_format import Meta, read_metas, usual_page_bytes
from crudjt._backends.embedded.engine.segment import Damage

_PAGE_HEAD = Struct("<QHHHH")
_NODE = Struct("<HHHH")
_PAGE_NUMBER = Struct("<Q")
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_KINDS = 0x0F
_BIG_VALUE = 1
_EMPTY_ROOT = 2**64 - 1
_MAX_DEPTH = 32


class Node(NamedTuple):
    """A key of a page; `value` is empty and `child` a page number in a branch."""

    key: bytes
    value: bytes
    child: int


class Tree:
    """The file of a view or of a base, read with all checks; `damage` collects the unreadable parts."""

    def __init__(self, path: Path, read: Callable[[int], object] = lambda _size: None) -> None:
        """Open the file; pair with `close`. `read` is called with the size of each piece that is read, in bytes."""
        self.path = path
        self._read = read
        self.damage: list[Damage] = []
        self._descriptor = _filesystem.open_file(path, os.O_RDONLY)
        metas = self.metas()
        self._page_bytes = metas[0].page_bytes if metas else usual_page_bytes()
        self._pages = os.fstat(self._descriptor).st_size // self._page_bytes

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def metas(self) -> list[Meta]:
        """Return the intact states, the newest first."""
        return read_metas(self._descriptor)

    def items(self, meta: Meta) -> Iterator[tuple[bytes, bytes]]:
        """Yield the items of one state in the order of their keys, without damaged pages."""
        if meta.root != _EMPTY_ROOT:
            yield from self._below(meta.root, 0)

    def _below(self, number: int, depth: int) -> Iterator[tuple[bytes, bytes]]:
        kind, nodes = self._page(number)
        if kind == _LEAF:
            yield from ((node.key, node.value) for node in nodes)
        elif kind == _BRANCH and depth < _MAX_DEPTH:
            for node in nodes:
                yield from self._below(node.child, depth + 1)
        else:
            self._note(number, "a page of the tree is damaged")

    def leaves(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the items of every leaf in the file. Only a compact copy has no leaves that are out of use."""
        for number in range(2, self._pages):
            kind, nodes = self._page(number)
            if kind == _LEAF:
                yield from ((node.key, node.value) for node in nodes)

    def _page(self, number: int) -> tuple[int, list[Node]]:
        """Return the kind of a page, 0 if it is damaged, and its nodes."""
        size = self._page_bytes
        self._read(size)
        page = _filesystem.read_at(self._descriptor, size, number * size) if number < self._pages else b""
        if len(page) < size:
            return 0, []
        found, _, flags, lower, _ = _PAGE_HEAD.unpack_from(page)
        kind = flags & _KINDS
        if found != number or kind not in (_BRANCH, _LEAF) or not _PAGE_HEAD.size <= lower <= size:
            return 0, []
        nodes: list[Node] = []
        for at in range(_PAGE_HEAD.size, lower - 1, 2):
            node = self._node(page, int.from_bytes(page[at : at + 2], "little"), kind)
            if node is None:
                self._note(number, "an item in a page of the tree is damaged")
            else:
                nodes.append(node)
        return kind, nodes

    def _node(self, page: bytes, at: int, kind: int) -> Node | None:
        if not _PAGE_HEAD.size <= at <= self._page_bytes - _NODE.size:
            return None
        low, high, flags, key_size = _NODE.unpack_from(page, at)
        start = at + _NODE.size + key_size
        key = page[at + _NODE.size : start]
        if kind == _BRANCH:
            return Node(key, b"", low | high << 16 | flags << 32)
        size = low | high << 16
        if flags & _BIG_VALUE:
            value = self._big_value(page[start : start + _PAGE_NUMBER.size], size)
        else:
            value = page[start : start + size]
        return Node(key, value, 0) if len(key) == key_size and len(value) == size else None

    def _big_value(self, packed: bytes, size: int) -> bytes:
        if len(packed) < _PAGE_NUMBER.size:
            return b""
        (number,) = _PAGE_NUMBER.unpack(packed)
        room = (self._pages - number) * self._page_bytes - _PAGE_HEAD.size
        if not 0 < size <= room:
            return b""
        self._read(size)
        content = _filesystem.read_at(self._descriptor, _PAGE_HEAD.size + size, number * self._page_bytes)
        found, _, flags, _, _ = _PAGE_HEAD.unpack_from(content)
        return content[_PAGE_HEAD.size :] if found == number and flags & _KINDS == _OVERFLOW else b""

    def _note(self, number: int, reason: str) -> None:
        self.damage.append(Damage(number * self._page_bytes, reason))
