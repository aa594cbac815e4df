"""Create, update and rotate sessions."""

# Without it each call would evaluate the annotations of inner functions, which takes 13 µs, and which a signal that
# raises there makes CPython 3.11 crash in.
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from crudjt._backends.valkey.requests import Steps
from crudjt._backends.valkey.steps.commit_requests import MAX_CHANGES, in_places
from crudjt._backends.valkey.steps.fetched import Conflict, Fetched, Outcome, as_found, as_met
from crudjt._backends.valkey.steps.recent import NEVER, Met
from crudjt._backends.valkey.steps.records import MAX_ROUNDS, Records
from crudjt._core.changes import DELETE, SESSION, Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.details import Details, NewDetails
from crudjt._core.gil import in_batches
from crudjt._core.header import HEADER_BYTES
from crudjt._core.labels import tagged
from crudjt._core.moves import Marked
from crudjt._core.tokens import PLACE, random_place
from crudjt._core.validation import NO_NEW_LIMITS, KeepType, NewLimits, StoredLimits
from crudjt.errors import StoreError, VersionConflict

Result = TypeVar("Result")

NOTHING = Fetched({})


def create(
    records: Records, packed: bytes, subject: str | None, limits: StoredLimits, details: Details | None
) -> Steps[str]:
    """Create a session and return its token."""
    details = tagged(details, records.sessions.keyring.newest)
    for _ in range(MAX_ROUNDS):
        now_ns = records.clock()
        token, change = records.sessions.insert(packed, subject, limits, now_ns, details)
        _, id_, record = change
        at = records.layout.session(id_)
        outcome = yield from records.commit_one(change, at, None, now_ns // NS_PER_MS, records.durability.changes)
        if not isinstance(outcome, Conflict):  # else 48 random bits were equal to others of the same nanosecond
            records.recent.note(token, Met(id_, record[:HEADER_BYTES], subject, details, record, packed, 0, at))
            return token
    raise records.busy()


def create_many(
    records: Records, packed: Iterable[bytes], subject: str | None, limits: StoredLimits
) -> Steps[list[str]]:
    """Create sessions at one place and return their tokens: `MAX_CHANGES` of them at a time, all or none."""
    place = random_place() if subject is None else None
    tokens: list[str] = []
    changes: list[Change] = []
    for each in in_batches(packed):
        token, change = records.sessions.insert(each, subject, limits, records.clock(), None, place)
        tokens.append(token)
        changes.append(change)
    inserted = 0
    try:
        while inserted < len(changes):
            outcome = yield from _insert(records, changes[inserted : inserted + MAX_CHANGES], records.clock())
            if isinstance(outcome, Conflict):
                raise records.busy()
            inserted += MAX_CHANGES
    except StoreError:
        yield from _end_unknown(records, changes[:inserted])
        raise
    return tokens


def change(
    records: Records, token: str, packed: bytes | None, limits: NewLimits, if_version: int | None
) -> Steps[bool]:
    """Replace the data of a live session, unless `packed` is ``None``, and its limits."""
    sessions, replicas = records.sessions, records.durability.changes
    fetched = None
    met = records.recent.get(token)
    if met is not None:
        now_ms = records.clock() // NS_PER_MS
        try:
            _, changes = sessions.change(NOTHING, token, met, packed, limits, if_version, now_ms)
        except VersionConflict:
            changes = ()
        if changes:
            outcome = yield from records.commit_one(changes[0], met.at, met.record, now_ms, replicas)
            if not isinstance(outcome, Conflict):
                due_ms = NEVER if met.due_ms == NEVER and limits is NO_NEW_LIMITS else -1
                records.recent.note(token, met.replaced(changes[0][2], packed, due_ms))
                return True
            fetched = as_found(outcome)
        records.recent.forget(token)

    def decide(fetched: Fetched, now_ns: int) -> tuple[bool, Sequence[Change]]:
        return sessions.change(fetched, token, None, packed, limits, if_version, now_ns // NS_PER_MS)

    def commit(changes: Sequence[Change], fetched: Fetched, now_ms: int) -> Steps[Outcome]:
        (each,) = changes
        _, id_, _ = each
        at, there = records.layout.session(id_), fetched.get(SESSION + id_)
        return (yield from records.commit_one(each, at, there, now_ms, replicas))

    return (yield from _until_committed(records, token, fetched, decide, commit)) or False


def rotate(
    records: Records,
    token: str,
    packed: bytes | None,
    subject: str | KeepType | None,
    limits: NewLimits,
    if_version: int | None,
    details: NewDetails,
) -> Steps[str | None]:
    """Move a live session to a new token, in one script, or to the place of another subject in two."""
    wishes = packed, subject, limits, if_version, details
    sessions, replicas = records.sessions, records.durability.endings
    fetched = None
    met = records.recent.get(token)
    if met is not None:
        records.recent.forget(token)
        now_ns = records.clock()
        try:
            new, changes = sessions.rotate(NOTHING, token, met, now_ns, *wishes)
        except VersionConflict:
            new, changes = None, ()
        if len({id_[PLACE] for _, id_, _ in changes}) == 1:
            (outcome,) = yield from records.commit([changes], as_met(met), now_ns // NS_PER_MS, replicas)
            if not isinstance(outcome, Conflict):
                return new
            fetched = as_found(outcome)

    def decide(fetched: Fetched, now_ns: int) -> tuple[str | None, Sequence[Change]]:
        return sessions.rotate(fetched, token, None, now_ns, *wishes)

    def commit(changes: Sequence[Change], fetched: Fetched, now_ms: int) -> Steps[Outcome]:
        old, new = changes
        if old[1][PLACE] != new[1][PLACE]:
            return (yield from move(records, old, new, fetched, now_ms))
        (outcome,) = yield from records.commit([changes], fetched, now_ms, replicas)
        return outcome

    return (yield from _until_committed(records, token, fetched, decide, commit))


def _until_committed(
    records: Records,
    token: str,
    fetched: Fetched | None,
    decide: Callable[[Fetched, int], tuple[Result, Sequence[Change]]],
    commit: Callable[[Sequence[Change], Fetched, int], Steps[Outcome]],
) -> Steps[Result | None]:
    """Fetch the session of a token, unless it was, decide, and commit; decide again while other processes change it."""
    if fetched is None:
        ids = records.ids_of(token)
        if not ids:
            return None
        fetched = yield from records.fetch(ids)
    for _ in range(MAX_ROUNDS):
        now_ns = records.clock()
        result, changes = decide(fetched, now_ns)
        if not changes:
            if not result:
                yield from records.absent()
            return result
        outcome = yield from commit(changes, fetched, now_ns // NS_PER_MS)
        if not isinstance(outcome, Conflict):
            return result
        fetched.note(outcome)
    raise records.busy()


def _insert(records: Records, changes: Sequence[Change], now_ns: int) -> Steps[Outcome]:
    (outcome,) = yield from records.commit([changes], NOTHING, now_ns // NS_PER_MS, records.durability.changes)
    return outcome


def move(
    records: Records,
    old: Change,
    new: Change,
    fetched: Fetched,
    now_ms: int,
    ending: Sequence[Change] = (),
    listed: Mapping[bytes, bytes] | None = None,
) -> Steps[Outcome]:
    """Insert a session at its place, then end the one that it replaces, if that is still as it was read.

    Other sessions at its place may end for it, if the indexes list what they are said to.
    No caller knows the new token before this returns. Where the old session cannot be ended, the new one is; a process
    that dies in between leaves the old session as it was, and a new one that no caller can use.
    """
    replicas = records.durability.endings
    try:
        (outcome,) = yield from records.commit([[*ending, new]], fetched, now_ms, replicas, listed=listed)
        if isinstance(outcome, Conflict):
            return outcome
        (outcome,) = yield from records.commit([[old]], fetched, now_ms, replicas)
    except (StoreError, Marked):
        yield from _end_unknown(records, [new])
        raise
    if isinstance(outcome, Conflict):
        yield from records.end([[(DELETE, *new[1:])]], now_ms)
    return outcome


def _end_unknown(records: Records, inserted: Sequence[Change]) -> Steps[None]:
    """End sessions that no caller has a token of, if the servers let it: they would be listed under their subject."""
    endings = in_places((DELETE, id_, record) for _, id_, record in inserted)
    with contextlib.suppress(StoreError):
        yield from records.end(endings, records.clock() // NS_PER_MS)
