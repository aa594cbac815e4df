"""Read sessions, counting reads and restarting idle timeouts."""

import contextlib
from collections.abc import Container, Iterable, Sequence
from itertools import chain

from crudjt._backends.valkey.requests import Steps
from crudjt._backends.valkey.steps.fetched import Conflict, Done, Fetched, Outcome, as_found, as_met
from crudjt._backends.valkey.steps.recent import Met
from crudjt._backends.valkey.steps.records import MAX_ROUNDS, Records, in_places
from crudjt._core.changes import DELETE, REPLACE, SESSION, Change
from crudjt._core.clock import NS_PER_MS, Clock
from crudjt._core.codec import unpack
from crudjt._core.gil import in_batches
from crudjt._core.header import LIMITS, NO_LIMITS_BYTES, Header, has_expired, reads_left_of, unpack_header
from crudjt._core.lookup import Found
from crudjt._core.session import Envelope, OlderEnvelope, Session
from crudjt._core.tokens import PLACE
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
    ids, first = (records.ids_of(token), 0) if met is None else ([met.id], met.key)
    if ids and (met is None or not _has_reads_left(met, records.clock)):
        fetched = yield from records.fetch(ids)
        if met is None or fetched.records[SESSION + met.id] != met.record:
            met = _opened(records, ids, fetched, first)
    for _ in range(MAX_ROUNDS):
        if met is None:
            records.recent.forget(token)
            if ids:
                yield from records.absent()
            return None
        now_ns = 0 if met.head[LIMITS] == NO_LIMITS_BYTES else records.clock()
        if not now_ns or not (header := Header(*unpack_header(met.head))).due(now_ns // NS_PER_MS):
            records.recent.note(token, met)
            return _session(met, now_ns)
        if not header.alive(now_ns // NS_PER_MS):
            met = None
            continue
        session, outcome = yield from _commit_read(records, token, met, header, now_ns)
        if isinstance(outcome, Done):
            return session
        found = as_found(outcome) if isinstance(outcome, Conflict) else (yield from records.fetch([met.id]))
        met = _opened(records, [met.id], found, met.key)
    raise records.busy()


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
            return Met(record, head, packed, subject, details, id_, number)
    return None


def _session(met: Met, now_ns: int) -> Session:
    kind = OlderEnvelope if met.key else Envelope
    return Session(unpack(met.packed), None, kind(met.id, met.head, met.subject, met.details), now_ns)


def _commit_read(records: Records, token: str, met: Met, header: Header, now_ns: int) -> Steps[tuple[Session, Outcome]]:
    """Commit what a read changes; return its result, and what came of the commit."""
    found = Found(records.sessions.keyring.newest_first[met.key], met.id, met.head, header)
    session, change = records.sessions.taken(found, met.packed, met.subject, met.details, now_ns)
    now_ms, replicas = now_ns // NS_PER_MS, _replicas(records, [change])
    if header.reads_left:
        outcome = yield from records.commit_one(change, met.record, now_ms, replicas)
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


def read_many(records: Records, tokens: Sequence[str]) -> Steps[list[Session | None]]:
    """Return the results of `read` in order. Each place is read as of one time, and the places one after another."""
    known = list(map(records.recent.get, tokens))
    unknown = iter(records.ids_of_many([token for token, met in zip(tokens, known, strict=True) if met is None]))
    candidates = [next(unknown) if met is None else (met.id,) for met in known]
    fetched = yield from records.fetch(dict.fromkeys(chain.from_iterable(candidates)))
    results = _unchanged(records, candidates, known, fetched)
    pending = [at for at, session in enumerate(results) if session is None]  # positions of tokens
    for _ in range(MAX_ROUNDS):
        now_ns = records.clock()
        sessions, changes = records.sessions.take(fetched, [tokens[at] for at in pending], now_ns)
        for at, session in zip(pending, sessions, strict=True):
            results[at] = session
        if not changes:
            break
        batches = in_places(changes)
        counting = [batch for batch in batches if _counts(batch)]
        extending = [batch for batch in batches if not _counts(batch)]
        failed = yield from _commit_reads(records, counting, fetched, now_ns)
        # Apart from the others: no read is refused because an idle deadline has to stay as it was.
        with contextlib.suppress(StoreFull):
            failed += yield from _commit_reads(records, extending, fetched, now_ns, only_extend=True)
        if not failed:
            break
        places = {batch[0][1][PLACE] for batch in failed}
        counted = {id_ for batch in batches if batch not in failed for _, id_, _ in batch}
        pending = [at for at in pending if _in_places(candidates[at], places, counted)]
        again = yield from records.fetch({id_ for at in pending for id_ in candidates[at]})
        fetched.records.update(again.records)
    else:
        raise records.busy()
    if any(ids and session is None for ids, session in zip(candidates, results, strict=True)):
        yield from records.absent()
    return results


def _unchanged(
    records: Records, candidates: Sequence[Sequence[bytes]], known: Sequence[Met | None], fetched: Fetched
) -> list[Session | None]:
    """Return the sessions that a read does not change; ``None`` for others, and where there is none.

    Args:
        records: the records of the store.
        candidates: for each token, the ids that it has under each key; the right one where the session is known.
        known: for each token, the session as this process has met it.
        fetched: what is there.

    """
    found: list[Session | None] = []
    keys, opened, record_of = records.sessions.keyring.newest_first, records.sessions.opened, fetched.records.get
    for ids, met in in_batches(zip(candidates, known, strict=True)):
        session = None
        for key, id_ in zip(keys[met.key :] if met else keys, ids, strict=False):  # a malformed token has none
            record = record_of(SESSION + id_)
            if record is not None:
                now_ns = 0 if record[LIMITS] == NO_LIMITS_BYTES else records.clock()
                if not now_ns or not records.sessions.header(id_, record).due(now_ns // NS_PER_MS):
                    if met is not None and record == met.record:
                        head, packed, subject, details = met.head, met.packed, met.subject, met.details
                    else:
                        head, packed, subject, details = opened(key, id_, record)
                    kind = Envelope if key is keys[0] else OlderEnvelope
                    session = Session(unpack(packed), None, kind(id_, head, subject, details), now_ns)
                break
        found.append(session)
    return found


def _in_places(ids: Iterable[bytes], places: Container[bytes], but: Container[bytes]) -> bool:
    return any(id_[PLACE] in places and id_ not in but for id_ in ids)


def _commit_reads(
    records: Records, batches: Sequence[list[Change]], fetched: Fetched, now_ns: int, *, only_extend: bool = False
) -> Steps[list[list[Change]]]:
    """Commit what reads change, each batch in one place, and return the batches that were not carried out."""
    if not batches:
        return []
    replicas = _replicas(records, chain.from_iterable(batches))
    outcomes = yield from records.commit(batches, fetched, now_ns // NS_PER_MS, replicas, may_be_twice=only_extend)
    return [batch for batch, outcome in zip(batches, outcomes, strict=True) if not isinstance(outcome, Done)]


def _counts(changes: Iterable[Change]) -> bool:
    """Tell whether a read was counted, or whether all changes only restart idle timeouts."""
    return any(kind == DELETE or reads_left_of(record) for kind, _, record in changes)


def _replicas(records: Records, changes: Iterable[Change]) -> int:
    ends = any(kind == DELETE for kind, _, _ in changes)
    return records.durability.endings if ends else records.durability.changes
