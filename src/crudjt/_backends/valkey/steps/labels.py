"""End the sessions that have a label. Its index lies at a place of its own, and they at others."""

from collections.abc import Iterable
from typing import cast

from crudjt._backends.valkey.requests import Ask, Steps
from crudjt._backends.valkey.steps.commit_requests import MAX_CHANGES, in_places
from crudjt._backends.valkey.steps.ending import count_ended
from crudjt._backends.valkey.steps.label_entries import may_be_in_flight
from crudjt._backends.valkey.steps.records import Records
from crudjt._core.changes import SESSION, Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.keyring import Key
from crudjt._core.labels import Named
from crudjt._core.tokens import PLACE_BYTES, token_block


def revoke(records: Records, names: Named, keep: str | None) -> Steps[int]:
    """End sessions with a label until only that of the token `keep` is left; return how many were alive."""
    block = None if keep is None else token_block(keep, "keep")
    passed = set[bytes]() if block is None else {key.tokens.id(block) for key in records.sessions.keyring.newest_first}
    ended = 0
    while True:
        found = yield from _look(records, names, MAX_CHANGES + len(passed))
        new = [(key, [id_ for id_ in ids if id_ not in passed]) for key, ids in found]
        if not any(ids for _, ids in new):
            yield from records.absent()
            return ended
        for key, ids in new:
            count, gone = yield from _end(records, names, key, ids)
            ended += count
            passed.update(set(ids) - gone)


def _look(records: Records, names: Named, last: int) -> Steps[list[tuple[Key, list[bytes]]]]:
    """Return ids from the index under each secret key, as all replicas have them. The newest key comes last."""
    found: list[tuple[Key, list[bytes]]] = []
    for key in reversed(records.sessions.keyring.newest_first):
        tag = names.tags(key).label or b""
        index = records.layout.label(tag)
        (reply,) = yield from records.look(tag[:PLACE_BYTES], [Ask(index, (b"ZRANGE", index, 0, last))])
        found.append((key, cast("list[bytes]", reply.value)))
    return found


def _end(records: Records, names: Named, key: Key, ids: list[bytes]) -> Steps[tuple[int, set[bytes]]]:
    """End those of some sessions that are named, and remove the entries of sessions that are not there.

    Return how many were alive, and the ids of those that were ended.
    """
    tags = names.tags(key)
    fetched = yield from records.fetch(ids)
    now_ns = records.clock()
    alive, endings = set[bytes](), list[Change]()
    for id_ in ids:
        count, changes = records.sessions.end_filed(fetched, key, tags, (id_,), now_ns // NS_PER_MS)
        endings += changes
        if count:
            alive.add(id_)
    batches = in_places(endings)
    done = yield from records.end(batches, now_ns // NS_PER_MS)
    missing = (id_ for id_ in ids if fetched.get(SESSION + id_) is None and id_ not in records.marked)
    yield from _remove(records.layout.label(tags.label or b""), missing, now_ns)
    count = sum(count_ended(batch, each, alive) for batch, each in zip(batches, done, strict=True))
    return count, {id_ for _, id_, _ in endings}


def _remove(index: bytes, missing: Iterable[bytes], now_ns: int) -> Steps[None]:
    """Remove entries, but those of sessions that may just be about to begin."""
    stale = [id_ for id_ in missing if not may_be_in_flight(id_, now_ns // NS_PER_MS)]
    if stale:
        yield [Ask(index, (b"ZREM", index, *stale))]
