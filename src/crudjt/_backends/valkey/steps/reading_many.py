"""Read many sessions at once, counting reads and restarting idle timeouts."""

import contextlib
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, cast

from crudjt._backends.valkey.requests import Steps
from crudjt._backends.valkey.steps.commit_requests import in_places
from crudjt._backends.valkey.steps.fetched import Done, Fetched
from crudjt._backends.valkey.steps.reading import replicas_for, session_of
from crudjt._backends.valkey.steps.recent import NEVER, Met, due_ms_of
from crudjt._backends.valkey.steps.records import MAX_ROUNDS, Records
from crudjt._core.changes import DELETE, Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.codec import unpack
from crudjt._core.gil import in_batches, in_slices
from crudjt._core.header import LIMITS, NO_LIMITS_BYTES, RECORD_FORMAT, reads_left_of
from crudjt._core.session import Session
from crudjt._core.tokens import PLACE
from crudjt.errors import StoreFull


def read_many(records: Records, tokens: Sequence[str]) -> Steps[list[Session | None]]:
    """Return the results of `read` in order. Each place is read as of one time, and the places one after another."""
    known = records.recent.get_many(tokens)
    results: list[Session | None]
    if all(known):
        met_all = cast("list[Met]", known)
        unpacking = _Unpacking(met_all)
        keys = [met.at for met in met_all]
        values = yield from records.values(keys, unpacking)
        results = _as_met(met_all, values, unpacking(), records.clock())
        if all(results):
            return results
        ids = [met.id for met in met_all]
        candidates: list[tuple[bytes, ...]] = [(id_,) for id_ in ids]
    else:
        unknown = iter(records.ids_of_many([token for token, met in zip(tokens, known, strict=True) if met is None]))
        candidates = [next(unknown) if met is None else (met.id,) for met in known]
        ids = list(dict.fromkeys(chain.from_iterable(candidates)))
        keys = records.layout.sessions(ids)
        values = yield from records.values(keys)
        results = [None] * len(tokens)
    there = {id_: (key, value) for id_, key, value in zip(ids, keys, values, strict=True) if value is not None}
    _open_unchanged(records, tokens, candidates, known, there, results)
    pending = [at for at, session in enumerate(results) if session is None]  # positions of tokens
    if not pending:
        return results
    fetched = yield from records.fetched(ids, values)
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


class _Unpacking:
    """The data of known sessions, which is unpacked while the servers are asked whether it still holds."""

    __slots__ = ("_known", "unpacked")

    def __init__(self, known: Sequence[Met]) -> None:
        self._known = known
        self.unpacked: list[dict[Any, Any]] = []

    def __call__(self) -> list[dict[Any, Any]]:
        """Unpack it, unless that was done."""
        if not self.unpacked:
            for some in in_slices(self._known):
                self.unpacked += [unpack(met.packed) for met in some]
        return self.unpacked


def _as_met(
    known: Sequence[Met], values: Sequence[bytes | None], unpacked: Sequence[dict[Any, Any]], now_ns: int
) -> list[Session | None]:
    """Return the sessions that are as this process has met them and that a read does not change, ``None`` for others.

    Args:
        known: the sessions as this process has met them.
        values: for each its record, as it is now.
        unpacked: for each its data.
        now_ns: the time.

    """
    now_ms = now_ns // NS_PER_MS
    return [
        Session(data, None, met, now_ns)
        if value == met.record and now_ms < (met.due_ms if met.due_ms >= 0 else met.look_when_due())
        else None
        for met, value, data in zip(known, values, unpacked, strict=True)
    ]


def _open_unchanged(
    records: Records,
    tokens: Sequence[str],
    candidates: Sequence[Sequence[bytes]],
    known: Sequence[Met | None],
    there: Mapping[bytes, tuple[bytes, bytes]],
    results: list[Session | None],
) -> None:
    """Add to the results the other sessions that a read does not change.

    Args:
        records: the records of the store.
        tokens: the tokens.
        candidates: for each token, the ids that it has under each key; the right one where the session is known.
        known: for each token, the session as this process has met it.
        there: key and record of each session that there is, by id.
        results: for each token its session, or ``None``.

    """
    sessions, opened, keys = records.sessions, records.sessions.opened, records.sessions.keyring.newest_first
    met_now: dict[str, Met] = {}
    now_ns = records.clock()
    now_ms = now_ns // NS_PER_MS
    for at, result in in_batches(enumerate(results)):
        if result is not None:
            continue
        met = known[at]
        for number, id_ in enumerate(candidates[at], met.key if met else 0):
            if id_ not in there:
                continue
            at_servers, record = there[id_]
            if record and record[0] == RECORD_FORMAT:  # others are left to the decisions
                due_ms = NEVER if record[LIMITS] == NO_LIMITS_BYTES else due_ms_of(sessions.header(id_, record))
                if now_ms < due_ms:
                    if met is None or record != met.record:
                        head, packed, subject, details = opened(keys[number], id_, record)
                        met = Met(id_, head, subject, details, record, packed, number, at_servers, due_ms)
                        met_now[tokens[at]] = met
                    results[at] = session_of(met, now_ns)
            break
    records.recent.note_many(met_now)


def _in_places(ids: Iterable[bytes], places: Container[bytes], but: Container[bytes]) -> bool:
    return any(id_[PLACE] in places and id_ not in but for id_ in ids)


def _commit_reads(
    records: Records, batches: Sequence[list[Change]], fetched: Fetched, now_ns: int, *, only_extend: bool = False
) -> Steps[list[list[Change]]]:
    """Commit what reads change, each batch in one place, and return the batches that were not carried out."""
    if not batches:
        return []
    replicas = replicas_for(records, chain.from_iterable(batches))
    outcomes = yield from records.commit(batches, fetched, now_ns // NS_PER_MS, replicas, may_be_twice=only_extend)
    return [batch for batch, outcome in zip(batches, outcomes, strict=True) if not isinstance(outcome, Done)]


def _counts(changes: Iterable[Change]) -> bool:
    """Tell whether a read was counted, or whether all changes only restart idle timeouts."""
    return any(kind == DELETE or reads_left_of(record) for kind, _, record in changes)
