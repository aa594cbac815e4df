"""Read sessions, counting reads and restarting idle timeouts."""

from collections.abc import Iterable, Sequence
from typing import cast

from crudjt._backends.valkey.requests import Ask, Steps
from crudjt._backends.valkey.steps.fetched import Conflict, Done, Fetched, Outcome, as_found, as_met
from crudjt._backends.valkey.steps.recent import NEVER, Met
from crudjt._backends.valkey.steps.records import MAX_ROUNDS, Records
from crudjt._core.changes import DELETE, REPLACE, SESSION, Change
from crudjt._core.clock import NS_PER_MS, Clock
from crudjt._core.codec import unpack
from crudjt._core.header import Header, has_expired, reads_left_of, unpack_header
from crudjt._core.lookup import Found
from crudjt._core.session import Session
from crudjt.errors import StoreFull


def peek(records: Records, token: str) -> Steps[Session | None]:
    """Return the session of a token and change nothing."""
    ids = records.ids_of(token)
    if not ids:
        return None
    fetched = yield from records.fetch(ids)
    now_ns = records.clock()
    found = records.sessions.find_live(fetched.get, token, now_ns // NS_PER_MS)
    if found is None:
        yield from records.absent()
        return None
    return records.sessions.session(found, now_ns)


def read(records: Records, token: str) -> Steps[Session | None]:
    """Return the session of a token; count the read, and restart the idle timeout.

    Where this process has met a session just now that counts its reads, it need not be fetched: see `Recent`.
    """
    met = records.recent.get(token)
    ids: Sequence[bytes] = ()
    if met is None:
        ids = records.ids_of(token)
        if ids:
            met = _opened(records, ids, (yield from records.fetch(ids)))
    elif not _has_reads_left(met, records.clock):
        ids, key = (met.id,), met.at
        (reply,) = yield (Ask(key, (b"GET", key)),)
        if reply.value != met.record:
            met = _opened(records, ids, (yield from records.fetched(ids, [cast("bytes | None", reply.value)])), met.key)
    for _ in range(MAX_ROUNDS):
        if met is None:
            yield from _absent(records, token, ids)
            return None
        due_ms = met.due_ms if met.due_ms >= 0 else met.look_when_due()
        now_ns = 0 if due_ms == NEVER else records.clock()
        if now_ns // NS_PER_MS < due_ms:
            records.recent.note(token, met)
            return session_of(met, now_ns)
        header = Header(*unpack_header(met.head))
        if not header.alive(now_ns // NS_PER_MS):
            met = None
            continue
        session, outcome = yield from _commit_read(records, token, met, header, now_ns)
        if isinstance(outcome, Done):
            return session
        found = as_found(outcome) if isinstance(outcome, Conflict) else (yield from records.fetch([met.id]))
        met = _opened(records, [met.id], found, met.key)
    raise records.busy()


def _absent(records: Records, token: str, ids: Sequence[bytes]) -> Steps[None]:
    records.recent.forget(token)
    if ids:
        yield from records.absent()


def _has_reads_left(met: Met, clock: Clock) -> bool:
    return reads_left_of(met.head) > 0 and not has_expired(met.head, clock() // NS_PER_MS)


def _opened(records: Records, ids: Sequence[bytes], fetched: Fetched, first: int = 0) -> Met | None:
    """Return the session that has one of the ids, which belong to the keys from `first` on; ``None`` if none has."""
    sessions, records_of = records.sessions, fetched.records
    for number, id_ in enumerate(ids, first):
        record = records_of.get(SESSION + id_)
        if record is not None:
            key = sessions.keyring.newest_first[number]
            head, packed, subject, details = sessions.opened(key, id_, record)
            return Met(id_, head, subject, details, record, packed, number, records.layout.session(id_))
    return None


def session_of(met: Met, now_ns: int) -> Session:
    """Return the result of a read that changes nothing."""
    return Session(unpack(met.packed), None, met, now_ns)


def _commit_read(records: Records, token: str, met: Met, header: Header, now_ns: int) -> Steps[tuple[Session, Outcome]]:
    """Commit what a read changes; return its result, and what came of the commit."""
    found = Found(records.sessions.keyring.newest_first[met.key], met.id, met.head, header)
    session, change = records.sessions.taken(found, met.packed, met.subject, met.details, now_ns)
    now_ms, replicas = now_ns // NS_PER_MS, replicas_for(records, [change])
    if header.reads_left:
        outcome = yield from records.commit_one(change, met.at, met.record, now_ms, replicas)
    else:
        try:
            (outcome,) = yield from records.commit([[change]], as_met(met), now_ms, replicas, may_be_twice=True)
        except StoreFull:  # the idle deadline stays as it was: that is no reason to refuse the read
            return session, Done([True], repeated=False)
    if isinstance(outcome, Done) and change[0] == REPLACE:
        records.recent.note(token, met.replaced(change[2], None))
    else:
        records.recent.forget(token)
    return session, outcome


def replicas_for(records: Records, changes: Iterable[Change]) -> int:
    """Return how many replicas must have what reads change."""
    ends = any(kind == DELETE for kind, _, _ in changes)
    return records.durability.endings if ends else records.durability.changes
