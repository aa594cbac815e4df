"""Read sessions, counting reads and restarting idle timeouts."""

import contextlib
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from crudjt._backends.valkey.requests import LOST, Steps
from crudjt._backends.valkey.steps.records import MAX_CHANGES, MAX_ROUNDS, Conflict, Done, Fetched, Records
from crudjt._core.changes import DELETE, SESSION, Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.record import reads_left_of
from crudjt._core.session import Session
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


def read_many(records: Records, tokens: Sequence[str]) -> Steps[list[Session | None]]:
    """Return the results of `read` in order. Each place is read as of one time, and the places one after another."""
    results: list[Session | None] = [None] * len(tokens)
    candidates = [records.ids_of(token) for token in tokens]
    fetched = yield from records.fetch({id_ for ids in candidates for id_ in ids})
    pending = _groups(candidates, fetched)
    for _ in range(MAX_ROUNDS):
        now_ns = records.clock()
        counting: list[_Decided] = []
        extending: list[_Decided] = []
        for group in pending:
            sessions, changes = records.sessions.take(fetched, [tokens[at] for at in group], now_ns)
            for at, session in zip(group, sessions, strict=True):
                results[at] = session
            if changes:
                (counting if _counts(changes) else extending).append(_Decided(group, changes))
        pending = yield from _commit_reads(records, counting, fetched, now_ns)
        # Apart from the others: no read is refused because an idle deadline has to stay as it was.
        with contextlib.suppress(StoreFull):
            pending += yield from _commit_reads(records, extending, fetched, now_ns, only_extend=True)
        if not pending:
            return results
        again = yield from records.fetch({id_ for group in pending for at in group for id_ in candidates[at]})
        fetched.records.update(again.records)
    raise records.busy()


class _Decided(NamedTuple):
    group: list[int]  # positions of tokens
    changes: list[Change]


def _groups(candidates: Sequence[Sequence[bytes]], fetched: Fetched) -> list[list[int]]:
    """Return the positions of tokens that have a session, in groups of one place and at most `MAX_CHANGES` sessions."""
    places: dict[bytes, dict[bytes, list[int]]] = {}
    for at, ids in enumerate(candidates):
        id_ = next((id_ for id_ in ids if fetched.get(SESSION + id_) is not None), None)
        if id_ is not None:
            places.setdefault(id_[PLACE], {}).setdefault(id_, []).append(at)
    groups: list[list[int]] = []
    for sessions in places.values():
        positions = list(sessions.values())
        groups += (
            sorted(chain.from_iterable(positions[start : start + MAX_CHANGES]))
            for start in range(0, len(positions), MAX_CHANGES)
        )
    return groups


def _commit_reads(
    records: Records, decided: Sequence[_Decided], fetched: Fetched, now_ns: int, *, only_extend: bool = False
) -> Steps[list[list[int]]]:
    """Commit what reads change, and return the groups that have to be read again."""
    if not decided:
        return []
    batches = [each.changes for each in decided]
    replicas = _replicas(records, chain.from_iterable(batches))
    outcomes = yield from records.commit(batches, fetched, now_ns // NS_PER_MS, replicas, may_be_twice=only_extend)
    return [each.group for each, outcome in zip(decided, outcomes, strict=True) if not isinstance(outcome, Done)]


def _counts(changes: Iterable[Change]) -> bool:
    """Tell whether a read was counted, or whether all changes only restart idle timeouts."""
    return any(kind == DELETE or reads_left_of(record) for kind, _, record in changes)


def _replicas(records: Records, changes: Iterable[Change]) -> int:
    ends = any(kind == DELETE for kind, _, _ in changes)
    return records.durability.endings if ends else records.durability.changes
