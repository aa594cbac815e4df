"""Create and rotate sessions of a subject that may have only so many.

The sessions of a subject and its indexes share a slot, so one script inserts the new session and ends the oldest; it
commits only if the indexes have as many ids as were counted.
"""

from collections.abc import Mapping, Sequence

from crudjt._backends.valkey.requests import Steps
from crudjt._backends.valkey.steps.changing import move
from crudjt._backends.valkey.steps.fetched import Conflict, Fetched, Outcome
from crudjt._backends.valkey.steps.records import MAX_CHANGES, MAX_ROUNDS, Records
from crudjt._backends.valkey.steps.subjects import look
from crudjt._core.changes import Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.tokens import PLACE
from crudjt._core.validation import KEEP, KeepType, NewLimits, SessionLimit, StoredLimits


class _Indexed(Fetched):
    """Records and the indexes of a subject, as they were fetched: the `IndexReader` of a decision."""

    def __init__(self, records: dict[bytes, bytes | None], ids: Mapping[bytes, Sequence[bytes]]) -> None:
        super().__init__(records)
        self._ids = ids  # by tag

    def filed(self, tag: bytes) -> Sequence[bytes]:
        """Return the ids that are filed under a subject tag."""
        return self._ids[tag]

    def counted(self, records: Records, subject: str) -> dict[bytes, int]:
        """Return how many ids each index has, by its key."""
        place = records.sessions.place_of(subject)
        return {records.layout.index(place, tag): len(ids) for tag, ids in self._ids.items()}


def create(records: Records, packed: bytes, subject: str, limits: StoredLimits, limit: SessionLimit) -> Steps[str]:
    """Create a session and return its token; the oldest of its subject end for it."""
    for _ in range(MAX_ROUNDS):
        read = yield from _fetch(records, subject, Fetched({}))
        now_ns = records.clock()
        token, changes = records.sessions.insert_within(read, packed, subject, limits, now_ns, limit)
        if (yield from _commit(records, changes, read, subject, now_ns // NS_PER_MS)):
            return token
    raise records.busy()


def rotate(
    records: Records,
    token: str,
    packed: bytes | None,
    subject: str | KeepType | None,
    limits: NewLimits,
    if_version: int | None,
    limit: SessionLimit,
) -> Steps[str | None]:
    """Move a live session to a new token; the oldest others of its owner end for it."""
    ids = records.ids_of(token)
    sessions = records.sessions
    for _ in range(MAX_ROUNDS):
        fetched = yield from records.fetch(ids)
        found = sessions.find(fetched.get, token)
        if found is None:
            return None
        owner = sessions.open(found)[1] if subject is KEEP else subject
        read = _Indexed(fetched.records, {}) if owner is None else (yield from _fetch(records, owner, fetched))
        now_ns = records.clock()
        new, changes = sessions.rotate_within(read, token, now_ns, packed, subject, limits, if_version, limit)
        if not changes or (yield from _commit(records, changes, read, owner, now_ns // NS_PER_MS)):
            return new
    raise records.busy()


def _fetch(records: Records, subject: str, fetched: Fetched) -> Steps[_Indexed]:
    """Fetch all sessions of a subject, and add those that were fetched."""
    filed = yield from look(records, subject)
    of_subject = yield from records.fetch(id_ for each in filed for id_ in each.ids)
    return _Indexed({**of_subject.records, **fetched.records}, {each.tag: each.ids for each in filed})


def _commit(
    records: Records, changes: Sequence[Change], read: _Indexed, subject: str | None, now_ms: int
) -> Steps[bool]:
    """Commit a new session, what it replaces and what ends for it; return whether nothing had changed before."""
    counted = {} if subject is None else read.counted(records, subject)
    place = changes[-1][1][PLACE]
    if len(changes) + len(counted) > MAX_CHANGES:  # where the limit is new: these end first, in a script of their own
        yield from records.end([changes[: MAX_CHANGES // 2]], now_ms)
        return False
    replaced = changes[-2] if len(changes) > 1 and changes[-2][1][PLACE] != place else None
    outcome: Outcome
    if replaced is None:
        replicas = max(records.durability) if len(changes) > 1 else records.durability.changes
        (outcome,) = yield from records.commit([changes], read, now_ms, replicas, counted=counted)
    else:
        outcome = yield from move(records, replaced, changes[-1], read, now_ms, changes[:-2], counted)
    return not isinstance(outcome, Conflict)
