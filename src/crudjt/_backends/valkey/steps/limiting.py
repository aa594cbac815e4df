"""Create and rotate sessions of a subject that may have only so many.

The sessions of a subject and its indexes share a slot, so one script inserts the new session and ends the oldest; it
commits only if the indexes list the same ids as when the sessions were counted.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha1

from crudjt._backends.valkey.requests import Steps
from crudjt._backends.valkey.steps.changing import move
from crudjt._backends.valkey.steps.commit_requests import MAX_CHANGES
from crudjt._backends.valkey.steps.fetched import Conflict, Fetched, Outcome
from crudjt._backends.valkey.steps.records import MAX_ROUNDS, Records
from crudjt._backends.valkey.steps.subjects import look
from crudjt._core.changes import Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.details import Details, NewDetails
from crudjt._core.tokens import PLACE
from crudjt._core.validation import KEEP, KeepType, NewLimits, SessionLimit, StoredLimits

_MAX_ENDING = MAX_CHANGES - 100  # beside the new session, and the indexes under each secret key


class _Indexed(Fetched):
    """Records and the indexes of a subject, as they were fetched: the `IndexReader` of a decision."""

    def __init__(self, records: dict[bytes, bytes | None], ids: Mapping[bytes, Sequence[bytes]]) -> None:
        super().__init__(records)
        self._ids = ids  # by tag

    def filed(self, tag: bytes) -> Sequence[bytes]:
        """Return the ids that are filed under a subject tag."""
        return self._ids[tag]

    def listed(self, records: Records, subject: str) -> dict[bytes, bytes]:
        """Return the SHA-1 of the ids of each index, by its key, as the commit script makes it."""
        place = records.sessions.place_of(subject)
        joined = {records.layout.index(place, tag): b"".join(ids) for tag, ids in self._ids.items()}
        return {index: sha1(ids, usedforsecurity=False).hexdigest().encode() for index, ids in joined.items()}


def create(
    records: Records,
    packed: bytes,
    subject: str,
    limits: StoredLimits,
    details: Details | None,
    limit: SessionLimit,
) -> Steps[str]:
    """Create a session and return its token; the oldest of its subject end for it."""
    for _ in range(MAX_ROUNDS):
        read = yield from _fetch(records, subject, Fetched({}))
        now_ns = records.clock()
        token, changes = records.sessions.insert_within(read, packed, subject, limits, now_ns, details, limit)
        new, *ending = changes
        if (yield from _commit(records, new, None, ending, read, subject, now_ns // NS_PER_MS)):
            return token
    raise records.busy()


def rotate(
    records: Records,
    token: str,
    packed: bytes | None,
    subject: str | KeepType | None,
    limits: NewLimits,
    if_version: int | None,
    details: NewDetails,
    limit: SessionLimit,
) -> Steps[str | None]:
    """Move a live session to a new token; the oldest others of its owner end for it."""
    wishes = packed, subject, limits, if_version, details, limit
    ids = records.ids_of(token)
    sessions = records.sessions
    for _ in range(MAX_ROUNDS):
        fetched = yield from records.fetch(ids)
        found = sessions.find(fetched.get, token)
        if found is None:
            yield from records.absent()
            return None
        owner = sessions.open(found)[1] if subject is KEEP else subject
        read = _Indexed(fetched.records, {}) if owner is None else (yield from _fetch(records, owner, fetched))
        now_ns = records.clock()
        fresh, changes = sessions.rotate_within(read, token, now_ns, *wishes)
        if not changes:
            return fresh
        *ending, old, new = changes
        if (yield from _commit(records, new, old, ending, read, owner, now_ns // NS_PER_MS)):
            return fresh
    raise records.busy()


def _fetch(records: Records, subject: str, fetched: Fetched) -> Steps[_Indexed]:
    """Fetch all sessions of a subject, and add those that were fetched."""
    filed = yield from look(records, subject)
    of_subject = yield from records.fetch(id_ for each in filed for id_ in each.ids)
    return _Indexed({**of_subject.records, **fetched.records}, {each.tag: each.ids for each in filed})


def _commit(
    records: Records,
    new: Change,
    old: Change | None,
    ending: Sequence[Change],
    read: _Indexed,
    subject: str | None,
    now_ms: int,
) -> Steps[bool]:
    """Commit a new session, the end of the one that it replaces, and of others; return whether nothing had changed."""
    if len(ending) > _MAX_ENDING:  # where the limit is new: these end first, in a script of their own
        yield from records.end([ending[:_MAX_ENDING]], now_ms)
        return False
    listed = {} if subject is None else read.listed(records, subject)
    outcome: Outcome
    if old is not None and old[1][PLACE] != new[1][PLACE]:
        outcome = yield from move(records, old, new, read, now_ms, ending, listed)
    else:
        changes = [*ending, new] if old is None else [*ending, old, new]
        replicas = max(records.durability) if len(changes) > 1 else records.durability.changes
        (outcome,) = yield from records.commit([changes], read, now_ms, replicas, listed=listed)
    return not isinstance(outcome, Conflict)
