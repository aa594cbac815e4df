"""List and count sessions. Servers keep no order of them: all keys are looked at, in steps that hold up no client."""

import heapq
from collections.abc import Iterable, Mapping
from typing import cast

from crudjt._backends.valkey.requests import Ask, Steps
from crudjt._backends.valkey.steps.records import Records
from crudjt._backends.valkey.steps.scanning import Scan
from crudjt._backends.valkey.steps.subjects import list_ids
from crudjt._core.changes import SESSION
from crudjt._core.clock import NS_PER_MS
from crudjt._core.header import HEADER_BYTES, has_expired
from crudjt._core.listing import Listing, Page, is_listed, opened_session, page_of
from crudjt._core.moves import MARK_FORMAT
from crudjt._core.record import MIN_RECORD_BYTES
from crudjt._core.session import Session
from crudjt._core.tokens import ID_BYTES

_SPARE = 100  # sessions that are fetched beyond a page, since some may have ended
_HEADS = 1000  # headers that are read in a step


def list_page(records: Records, wishes: Listing) -> Steps[Page]:
    """Return a page of the live sessions."""
    limit, found = wishes.limit, list[Session]()
    wanted = limit + 1  # one more shows that the page is not the last
    needed = wanted + _SPARE
    while True:
        ids = yield from _newest(records, wishes, needed)
        fetched = yield from records.fetch(ids)
        candidates = [(id_, record) for id_ in ids if (record := fetched.get(SESSION + id_))]
        still = wishes._replace(limit=wanted - len(found))
        found += page_of(still, records.sessions.keyring, candidates, records.clock())
        if len(found) == wanted:
            return Page(tuple(found[:limit]), found[limit - 1].id)
        if len(ids) < needed:
            yield from records.absent()
            return Page(tuple(found), None)
        wishes = wishes._replace(after=ids[-1])


def count(records: Records, subject: str | None) -> Steps[int]:
    """Return how many sessions are alive, or how many of a subject."""
    if subject is not None:
        filed = yield from list_ids(records, subject)
        ids = [id_ for _, _, ids in filed for id_ in ids]
        return len((yield from _alive(records, {id_: records.layout.session(id_) for id_ in ids}, None)))
    # A set, since a scan may find a key twice.
    alive, scan = set[bytes](), Scan(records.layout.all_sessions)
    while not scan.ended:
        keys = {key[-ID_BYTES:]: key for key in (yield from scan.step())}
        alive.update((yield from _alive(records, keys, None)))
    yield from records.absent()
    return len(alive)


def find(records: Records, id_: bytes) -> Steps[Session | None]:
    """Return the live session of an id."""
    fetched = yield from records.fetch([id_])
    record, now_ns = fetched.get(SESSION + id_), records.clock()
    if record is None:
        yield from records.absent()
    if record is None or has_expired(record, now_ns // NS_PER_MS):
        return None
    return opened_session(records.sessions.keyring, id_, record, now_ns)


def _newest(records: Records, wishes: Listing, needed: int) -> Steps[list[bytes]]:
    """Return the newest ids of what may be listed, newest first; fewer than `needed` only where there are no more."""
    after = wishes.after
    if wishes.subject is not None:
        filed = yield from list_ids(records, wishes.subject)
        of_subject = {id_ for _, _, ids in filed for id_ in ids if after is None or id_ < after}
        return heapq.nlargest(needed, of_subject)
    newest, scan = list[bytes](), Scan(records.layout.all_sessions)
    while not scan.ended:
        oldest = newest[-1] if len(newest) == needed else b""
        keys = {key[-ID_BYTES:]: key for key in (yield from scan.step())}
        ids: Iterable[bytes] = [id_ for id_ in keys if id_ > oldest and (after is None or id_ < after)]
        if wishes.created_before is not None:
            ids = yield from _alive(records, {id_: keys[id_] for id_ in ids}, wishes.created_before)
        if ids:
            newest = heapq.nlargest(needed, {*newest, *ids})
    return newest


def _alive(records: Records, keys: Mapping[bytes, bytes], created_before: int | None) -> Steps[list[bytes]]:
    """Return the ids of those sessions that are alive, by their headers, which are not authenticated."""
    alive = list[bytes]()
    for start in range(0, len(keys), _HEADS):
        ids = list(keys)[start : start + _HEADS]
        replies = yield [Ask(keys[id_], (b"GETRANGE", keys[id_], 0, HEADER_BYTES - 1)) for id_ in ids]
        now_ms = records.clock() // NS_PER_MS
        for id_, reply in zip(ids, replies, strict=True):
            head = cast("bytes", reply.value)
            if head and head[0] == MARK_FORMAT:
                yield from records.met(id_, head.ljust(MIN_RECORD_BYTES, b"\0"))
            elif head and is_listed(head, created_before, now_ms):
                alive.append(id_)
    return alive
