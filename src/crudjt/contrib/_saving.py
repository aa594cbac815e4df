"""How a request that held a session writes it back: no more than it changed, and never to a session that has ended."""

import logging
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any

import crudjt
from crudjt.contrib._merge import Before, plain

logger = logging.getLogger("crudjt.contrib")

_MAX_CONFLICTS = 100  # each of them is another request that has written: a hundred in a row is a fault
_SOON = 0.001


@dataclass(frozen=True)
class Limits:
    """How long a session may live from now on, in seconds; ``None`` for no such limit."""

    ttl: float | None
    idle: float | None


@dataclass(frozen=True)
class Held:
    """A stored session as a request holds it.

    Attributes:
        token: what it answers to.
        subject: whom it is filed under.
        version: which version the request knows.
        age: seconds from its beginning to the request, by the clock of the store.
        before: its data, before the request changed anything.

    """

    token: str = field(repr=False)
    subject: str | None = field(repr=False)
    version: int
    age: float
    before: Before = field(repr=False)


def read_session(store: crudjt.Store, token: str) -> crudjt.Session | None:
    """Return the session that a browser names, ``None`` if there is none.

    A token with `max_reads` is a link that works once or the like: it never stands for a session.
    """
    session = store.read(token)
    if session is None or session.reads_left is not None:
        logger.info("a cookie was presented that names no live session")
        return None
    return session


def found(token: str, session: crudjt.Session) -> Held:
    """Hold a session that was read."""
    age = 0.0
    if session.expires_at is not None and session.expires_in is not None:
        age = (session.expires_at - session.created_at).total_seconds() - session.expires_in
    return Held(token, session.subject, session.version, age, Before(session.data))


def begin(store: crudjt.Store, data: Mapping[Any, Any], subject: str | None, limits: Limits) -> Held:
    """Start a session under a token that the store mints."""
    exact = plain(data)
    token = store.create(exact, ttl=limits.ttl, idle=limits.idle, subject=subject)
    return Held(token, subject, 1, 0.0, Before(exact))


def save(
    store: crudjt.Store, held: Held, data: MutableMapping[Any, Any], subject: str | None, limits: Limits
) -> Held | None:
    """Write what a request changed; return the session as it is now, or ``None`` if it has ended meanwhile.

    A session that changes hands gets a new token, and the old one dies: at login, and at any change of the user. What
    other requests have changed meanwhile stays, and is put into `data`.

    Raises:
        InvalidParameter: the data cannot be stored. Nothing has changed then.

    """
    if subject != held.subject:
        return _handed_over(store, held, data, subject, limits)
    mine = wanted = plain(data)
    version = held.version
    for _ in range(_MAX_CONFLICTS):
        try:
            alive = store.update(held.token, wanted, ttl=limits.ttl, idle=limits.idle, if_version=version)
        except crudjt.VersionConflict as conflict:
            last = conflict
        else:
            if wanted is not mine:
                _adopt(data, mine, wanted)
            return replace(held, version=version + 1, before=Before(wanted)) if alive else None
        theirs = store.peek(held.token)
        if theirs is None:
            return None
        version, wanted = theirs.version, held.before.merged(mine, theirs.data)
    raise last


def _adopt(data: MutableMapping[Any, Any], mine: Mapping[Any, Any], merged: Mapping[Any, Any]) -> None:
    """Bring the merged keys into the request's own data. Values that it has not lost stay the same objects."""
    for key in mine.keys() - merged.keys():
        del data[key]
    known = Before(mine)
    for key, value in merged.items():
        if known.differs(key, value):
            data[key] = value


def _handed_over(
    store: crudjt.Store, held: Held, data: Mapping[Any, Any], subject: str | None, limits: Limits
) -> Held | None:
    """Begin the session of another subject in the place of one.

    Nobody is told the new token before the old one is dead, so it is the end of the old one that decides: if somebody
    else has ended it, the new session goes too, and nothing has come back to life.
    """
    new = begin(store, data, subject, limits)
    ended = False
    try:
        ended = store.delete(held.token)
    finally:
        if not ended:
            store.delete(new.token)
    return new if ended else None


def end_own(store: crudjt.Store, subject: str, handle: str) -> bool:
    """End a session by its handle if it is one of a subject's own; return whether it was.

    For a user who picks a session from a list: the handle of somebody else's session does nothing.
    """
    return any(session.id == handle for session in store.sessions(subject)) and store.revoke_id(handle)


def remaining(absolute: float | None, age: float) -> float | None:
    """Return how long a session of an age may still live, in seconds."""
    return None if absolute is None else max(absolute - age, _SOON)


def shortest(*durations: float | None) -> float | None:
    """Return the shortest of the durations that are given."""
    return min((each for each in durations if each is not None), default=None)
