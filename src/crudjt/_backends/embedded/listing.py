"""List and count the sessions of a store in a directory. Each batch is read in a transaction of its own."""

from collections.abc import Callable, Iterable, Iterator
from heapq import merge

from crudjt._core.changes import SESSION, SUBJECT
from crudjt._core.gil import in_batches
from crudjt._core.header import has_expired
from crudjt._core.keyring import Keyring
from crudjt._core.listing import Listing
from crudjt._core.lookup import Get
from crudjt._core.moves import LATEST_ID
from crudjt._core.stages import FIRST_STAGE_ID

Scan = Callable[[bytes, bytes, int], list[tuple[bytes, bytes]]]
"""`OpenDirectory.scan` or `scan_back`."""

_BATCH = 500
_BEFORE_ALL = SESSION + LATEST_ID
_AFTER_ALL = SESSION + FIRST_STAGE_ID  # beyond sessions, and marks in their place


def newest_first(scan_back: Scan, get: Get, keyring: Keyring, wishes: Listing) -> Iterator[tuple[bytes, bytes]]:
    """Yield ids and values among which the sessions of a page are, newest first: records, and what moves leave."""
    before = wishes.after or FIRST_STAGE_ID
    if wishes.subject is None:
        for key, value in _descending(scan_back, SESSION, before, wishes.limit):
            if key <= _BEFORE_ALL:
                return
            yield key[len(SESSION) :], value
        return
    prefixes = [SUBJECT + key.subject_tag(wishes.subject) for key in keyring.newest_first]
    filed = [_ids(_descending(scan_back, prefix, before, wishes.limit), len(prefix)) for prefix in prefixes]
    yield from filed_under(merge(*filed, reverse=True), get)


def everything(scan: Scan) -> Iterator[tuple[bytes, bytes]]:
    """Yield ids and values of all sessions: records, and what moves leave."""
    start = _BEFORE_ALL + b"\x00"
    while items := scan(SESSION, start, _BATCH):
        start = items[-1][0] + b"\x00"
        for key, value in in_batches(items):
            if key >= _AFTER_ALL:
                return
            yield key[len(SESSION) :], value


def filed_under(ids: Iterable[bytes], get: Get) -> Iterator[tuple[bytes, bytes]]:
    """Yield some ids with what there is under them."""
    for id_ in in_batches(ids):
        value = get(SESSION + id_)
        if value is not None:
            yield id_, value


def count_alive(found: Iterable[tuple[bytes, bytes]], now_ms: int) -> int:
    """Return how many records are of a session that is alive, by their headers, which are not authenticated."""
    return sum(not has_expired(record, now_ms) for _, record in found)


def _descending(scan_back: Scan, prefix: bytes, before: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
    end, batch = prefix + before, min(limit + 1, _BATCH)
    while items := scan_back(prefix, end, batch):
        end, batch = items[-1][0], _BATCH
        yield from in_batches(items)


def _ids(items: Iterable[tuple[bytes, bytes]], prefix_bytes: int) -> Iterator[bytes]:
    for key, _ in items:
        yield key[prefix_bytes:]
