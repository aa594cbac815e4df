"""End sessions, by token or by id.

An ending is sent to the servers also where no session was found. "There is none" may be due to the ending of another
process that no replica has yet; a failover could undo that one, after this call has said that the session is gone.
"""

from collections.abc import Sequence
from itertools import chain

from crudjt._backends.valkey.requests import Steps
from crudjt._backends.valkey.steps.commit_requests import in_places
from crudjt._backends.valkey.steps.fetched import Done
from crudjt._backends.valkey.steps.records import Records
from crudjt._core.changes import DELETE, SESSION, Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.gil import in_batches
from crudjt._core.header import HEADER_BYTES

_GONE = "no answer came at first; the session is gone now, but it is not known whether this call ended it"
_NO_RECORD = bytes(HEADER_BYTES)  # has no subject, and so no index


def delete(records: Records, token: str) -> Steps[bool]:
    """End a session; return whether it was alive."""
    ids = records.ids_of(token)
    if not ids:
        return False
    fetched = yield from records.fetch(ids)
    now_ms = records.clock() // NS_PER_MS
    alive, changes = records.sessions.end(fetched, token, now_ms)
    return (yield from _end_one(records, alive, changes or [_absent(id_) for id_ in ids], now_ms))


def delete_many(records: Records, tokens: Sequence[str]) -> Steps[int]:
    """End sessions, those of one place in one script; return how many were alive."""
    candidates = records.ids_of_many(tokens)
    fetched = yield from records.fetch(dict.fromkeys(chain.from_iterable(candidates)))
    now_ms = records.clock() // NS_PER_MS
    alive: set[bytes] = set()
    endings: dict[bytes, Change] = {}
    for token, ids in in_batches(zip(tokens, candidates, strict=True)):
        count, changes = records.sessions.end_many(fetched, (token,), now_ms)
        for change in changes or [_absent(id_) for id_ in ids]:
            endings[change[1]] = change
            if count:
                alive.add(change[1])
    batches = in_places(endings.values())
    ended = yield from records.end(batches, now_ms)
    count = sum(count_ended(batch, done, alive) for batch, done in zip(batches, ended, strict=True))
    if count < sum(map(bool, candidates)):
        yield from records.absent()
    return count


def revoke_id(records: Records, id_: bytes, subject: str | None) -> Steps[bool]:
    """End a session by its id, if it is of our keys, and of `subject` where one is given."""
    fetched = yield from records.fetch([id_])
    now_ms = records.clock() // NS_PER_MS
    alive, changes = records.sessions.end_id(fetched, id_, subject, now_ms)
    if not changes:
        if fetched.get(SESSION + id_) is not None:
            return False
        changes = [_absent(id_)]
    return (yield from _end_one(records, alive, changes, now_ms))


def count_ended(batch: Sequence[Change], done: Done, alive: set[bytes]) -> int:
    """Return how many live sessions a batch has ended.

    After a lost reply those count that are gone: the first attempt may have ended them, or another process.
    """
    return sum(change[1] in alive and (found or done.repeated) for change, found in zip(batch, done.found, strict=True))


def _end_one(records: Records, alive: bool, changes: Sequence[Change], now_ms: int) -> Steps[bool]:
    batches = in_places(changes)
    ended = yield from records.end(batches, now_ms)
    if any(any(done.found) for done in ended):
        return alive
    if alive and any(done.repeated for done in ended):
        raise records.unavailable(_GONE)
    yield from records.absent()
    return False


def _absent(id_: bytes) -> Change:
    return DELETE, id_, _NO_RECORD
