"""Read sessions, counting reads and restarting idle timeouts."""

import contextlib
from collections.abc import Container, Iterable, Sequence
from itertools import chain

from crudjt._backends.valkey.requests import LOST, Steps
from crudjt._backends.valkey.steps.records import MAX_ROUNDS, Conflict, Done, Fetched, Records, in_places
from crudjt._core.changes import DELETE, SESSION, Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.codec import unpack
from crudjt._core.gil import in_batches
from crudjt._core.record import LIMITS, NO_LIMITS_BYTES, reads_left_of
from crudjt._core.session import Envelope, Session
from crudjt._core.tokens import PLACE
from crudjt.errors import StoreFull


def peek(records: Records, token: str) -> Steps[Session | None]:
    """Return the session of a token and change nothing."""
    fetched = yield from records.fetch(records.ids_of(token))
    now_ns = records.clock()
    found = records.sessions.find_live(fetched.get, token, now_ns // NS_PER_MS)
    return None if found is None else records.sessions.session(found, now_ns)


def read(records: Records, token: str) -> Steps[Session | None]:
    """Return the session of a token; count the read, and restart the idle timeout."""
    ids = records.ids_of(token)
    if not ids:
        return None
    fetched = yield from records.fetch(ids)
    if (session := _unlimited(records, ids, fetched)) is not None:
        return session
    for _ in range(MAX_ROUNDS):
        now_ns = records.clock()
        (session,), changes = records.sessions.take(fetched, (token,), now_ns)
        if not changes:
            return session
        only_extends = not _counts(changes)
        try:
            (outcome,) = yield from records.commit(
                [changes], fetched, now_ns // NS_PER_MS, _replicas(records, changes), may_be_twice=only_extends
            )
        except StoreFull:
            if only_extends:  # the idle deadline stays as it was: that is no reason to refuse the read
                return session
            raise
        if isinstance(outcome, Conflict):
            fetched.note(outcome)
        elif outcome is LOST:
            fetched = yield from records.fetch(ids)
        else:
            return session
    raise records.busy()


def _unlimited(records: Records, ids: Sequence[bytes], fetched: Fetched) -> Session | None:
    """Return a session that has no limits, so that no time and no change is to be thought of; ``None`` for others."""
    sessions = records.sessions
    for key, id_ in zip(sessions.keyring.newest_first, ids, strict=True):
        record = fetched.get(SESSION + id_)
        if record is not None:
            if record[LIMITS] != NO_LIMITS_BYTES:
                return None
            head, packed, subject = sessions.opened(key, id_, record)
            return Session(unpack(packed), None, Envelope(id_, head, subject), 0)
    return None


def read_many(records: Records, tokens: Sequence[str]) -> Steps[list[Session | None]]:
    """Return the results of `read` in order. Each place is read as of one time, and the places one after another."""
    candidates = [records.ids_of(token) for token in tokens]
    fetched = yield from records.fetch({id_ for ids in candidates for id_ in ids})
    results = [_unlimited(records, ids, fetched) if ids else None for ids in in_batches(candidates)]
    pending = [at for at, session in enumerate(results) if session is None]  # positions of tokens
    for _ in range(MAX_ROUNDS):
        now_ns = records.clock()
        sessions, changes = records.sessions.take(fetched, [tokens[at] for at in pending], now_ns)
        for at, session in zip(pending, sessions, strict=True):
            results[at] = session
        if not changes:
            return results
        batches = in_places(changes)
        counting = [batch for batch in batches if _counts(batch)]
        extending = [batch for batch in batches if not _counts(batch)]
        failed = yield from _commit_reads(records, counting, fetched, now_ns)
        # Apart from the others: no read is refused because an idle deadline has to stay as it was.
        with contextlib.suppress(StoreFull):
            failed += yield from _commit_reads(records, extending, fetched, now_ns, only_extend=True)
        if not failed:
            return results
        places = {batch[0][1][PLACE] for batch in failed}
        counted = {id_ for batch in batches if batch not in failed for _, id_, _ in batch}
        pending = [at for at in pending if _in_places(candidates[at], places, counted)]
        again = yield from records.fetch({id_ for at in pending for id_ in candidates[at]})
        fetched.records.update(again.records)
    raise records.busy()


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
