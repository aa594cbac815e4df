"""Room in the view: how much the changes of a write transaction take, and blocks of the disk for it.

Part of what is allocated ahead, in the view and in the log, is a reserve: on a full disk, only changes that end
sessions may use it. It is allocated again when there is space.
"""

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from crudjt import _filesystem
from crudjt._backends.embedded.engine.os_errors import store_error
from crudjt._core.changes import DELETE, INSERT, REPLACE, Change
from crudjt._core.gil import in_batches, in_slices
from crudjt._core.header import LABELS_OFFSET

# A change touches two root-to-leaf paths of at most five pages. A transaction may split each of them, and touches some
# pages of the free list.
PAGES_PER_CHANGE = 10
CHANGES_PER_WRITE = 2  # up to which a transaction need not ask for room of its own: a rotation replaces and inserts
PAGES_PER_WRITE = 36
WRITES_AHEAD = 32
RESERVE_PAGES = 512  # some hundred deletes, even while a snapshot keeps the pages they free from being used again
# What is allocated, besides the pages of a large transaction's own, where the next ones need not ask.
_PAGES_AHEAD = PAGES_PER_WRITE + RESERVE_PAGES + WRITES_AHEAD * PAGES_PER_WRITE
_STEP_BYTES = 1024**2
_ZEROS_BYTES = 16 * 1024  # at once: pages of the view are written to again and again, those of the log once
_MOST_ZEROS_BYTES = 8 * _STEP_BYTES  # what more a large transaction may need at most, it hardly ever does
# LMDB keeps up to 2,013 bytes beside a key of 17 in a leaf of 4 KiB; what is larger takes pages of its own.
SMALL_RECORD_BYTES = 1900
_ITEM_BYTES = 128  # of the tree for a session and its subject, besides the record
_LABEL_BYTES = 64  # of the tree for the index entry of a label


class Room(NamedTuple):
    """Space available to the next transactions."""

    allocated: int  # bytes of the file that are allocated on disk
    writes: int  # how many transactions of up to two small changes, this one included, need not ask again; 0 for none
    limit: int  # how many pages the tree may have after this one; 0 where it cannot come so far


def new_pages(changes: Iterable[Change], page_bytes: int) -> int:
    """Return how many pages the content of changes may take; what replaces a small record takes its room."""
    small = large = 0
    for kind, _, record in in_batches(changes):
        size = len(record)
        if size > SMALL_RECORD_BYTES and kind in {INSERT, REPLACE}:
            large += size // page_bytes + 2
        elif kind == INSERT:
            small += size + _ITEM_BYTES
        if kind == INSERT:
            small += record[LABELS_OFFSET] * _LABEL_BYTES
    return large + -(-2 * small // page_bytes)  # a page that was split is half full


def weight(changes: Sequence[Change]) -> int:
    """Return how many changes without labels touch as many pages: the entries of two labels touch what one does."""
    if len(changes) == 1:  # the same, in fewer steps
        return 1 + (changes[0][2][LABELS_OFFSET] + 1 >> 1)
    return len(changes) + sum(
        sum([record[LABELS_OFFSET] + 1 >> 1 for _, _, record in some]) for some in in_slices(changes)
    )


def ends_sessions(changes: Sequence[Change]) -> bool:
    """Tell whether changes end as many sessions as they begin, and give no other session new data."""
    ended = 0
    for some in in_slices(changes):
        kinds = [kind for kind, _, _ in some]
        if REPLACE in kinds:
            return False
        ended += kinds.count(DELETE) - kinds.count(INSERT)
    return ended >= 0


def only_ends_sessions(changes: Sequence[Change]) -> bool:
    """Tell whether all changes are ends of sessions."""
    return all({kind for kind, _, _ in some} == {DELETE} for some in in_slices(changes))


def reserve_to_leave(changes: Sequence[Change], *, urgent: bool) -> float:
    """Return which part of the reserve a transaction must leave: 0 where it may use all of it, 1 for none.

    Rotations may use half, so that they cannot use up what log-outs need.
    """
    if not urgent:
        return 1
    if len(changes) == 1:  # the same, in fewer steps
        return 0 if changes[0][0] == DELETE else 1
    if only_ends_sessions(changes):
        return 0
    return 0.5 if ends_sessions(changes) else 1


def is_plenty(first: int, changes: int, pages: int, most: int, allocated: int) -> bool:
    """Tell whether a transaction, and those after it, have room without a look at the tree.

    There are never more pages in the tree than in the file. `first` is the first page of the file that no transaction
    uses yet, and `most` the number that the tree may have.
    """
    enough = first + changes * PAGES_PER_CHANGE + pages + 2 * (first // 512) + _PAGES_AHEAD
    return first + pages + WRITES_AHEAD <= most and enough <= allocated


def allocate_ahead(
    data_file: Path, page_bytes: int, map_size: int, allocated: int, first: int, needed: int, reserve: int
) -> int:
    """Allocate blocks for the pages that are needed, for the reserve, and for later transactions.

    Where the disk has no room for all of these, those that are needed must do. `first` is the first page of the file
    that no transaction uses yet; `reserve` is a number of pages.

    Raises:
        StoreFull: the disk has no room for the pages that are needed.

    """
    enough = (first + needed + reserve + WRITES_AHEAD * PAGES_PER_WRITE) * page_bytes
    if allocated >= min(enough, map_size):
        return allocated
    ahead = -(-enough // _STEP_BYTES) * _STEP_BYTES
    least = (first + needed) * page_bytes
    refused = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with _filesystem.opened(data_file, os.O_RDWR) as descriptor:
        for size in (ahead, least + reserve * page_bytes, least):
            wanted = min(size, map_size)
            if wanted <= allocated:
                return allocated
            try:
                _filesystem.allocate(descriptor, allocated, wanted - allocated, data_file.parent)
            except OSError as error:
                if error.errno not in _filesystem.DISK_FULL_ERRNOS:
                    raise
                refused = error
                continue
            unused = max(allocated, first * page_bytes)
            _filesystem.fill_with_zeros(descriptor, unused, min(wanted - unused, _MOST_ZEROS_BYTES), _ZEROS_BYTES)
            return wanted
    raise store_error(refused, data_file.parent) from refused
