"""Sessions that another engine has made, taken over once each, until a date."""

import logging
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timezone
from enum import Enum
from hashlib import sha256
from typing import Any, TypeVar

import msgspec

import crudjt
from crudjt import TooManySessions
from crudjt._core.tokens import TOKEN_CHARACTERS
from crudjt._core.type_guards import is_mapping
from crudjt.contrib._purposes import Purpose
from crudjt.contrib._sessions.calls import Delete, Take
from crudjt.contrib._sessions.core import Steps, save
from crudjt.contrib._sessions.merge import packed
from crudjt.contrib._sessions.states import Done, Left, Phase

AnyOld = TypeVar("AnyOld")

logger = logging.getLogger("crudjt.contrib")

_COOKIES = Purpose("switch", "cookie")
# At most what browsers keep of a cookie. Neither spaces, quotes nor backslashes (RFC 6265, 4.1.1): a framework that
# parses the value again drops them, so that one cookie could be spelled in several ways, each with a claim of its own.
_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]{1,4096}")
_TAKEN = "an old session cookie was presented that was taken over before"
_REFUSED = "an old session cannot be taken over, and its user has to log in: %s"
_NO_DATA = packed({})
_LEEWAY = 60  # seconds by which the clocks of two hosts may differ


class Window:
    """The time in which cookies of the old kind are taken over."""

    def __init__(self, until: datetime) -> None:
        """Take the end."""
        self._until = until
        self._told = False

    def admits(self, value: str) -> bool:
        """Return whether to try the value of a cookie as one of the old kind. That the time is over is logged once."""
        if len(value) == TOKEN_CHARACTERS or not _VALUE.fullmatch(value):
            return False
        if datetime.now(timezone.utc) < self._until:
            return True
        if not self._told:
            self._told = True
            logger.warning("the date of the take over has passed, so old session cookies are ignored")
        return False


class Claim:
    """The right to take over one old cookie, which is given once over all processes and hosts of a store.

    Deleting the old session does not do: two requests may have read it, and a signed cookie cannot be deleted.
    """

    before: bytes = _NO_DATA
    """The data of the old session, packed as `merge.packed` does."""

    def __init__(self, value: str, max_age: float | None) -> None:
        """Take what identifies the cookie, and for how many seconds its engine reads it; ``None`` for any time."""
        digest = sha256(value.encode()).hexdigest()
        self._owner = _COOKIES.owner(digest)
        self._token = ""
        self.taking: Take = Take(_COOKIES.once(digest, None if max_age is None else max_age + _LEEWAY))
        """The call that takes it, and raises `TooManySessions` if another request has."""

    def take(self, store: crudjt.Store) -> bool:
        """Return whether the cookie was not taken over before."""
        try:
            self._token = self.taking.on(store)
        except TooManySessions:
            logger.info(_TAKEN)
            return False
        return True

    def is_taken(self, store: crudjt.Store) -> bool:
        """Return whether the cookie was taken over before."""
        return next(iter(store.sessions(self._owner)), None) is not None

    async def is_taken_in(self, store: crudjt.AsyncStore) -> bool:
        """Do as `is_taken`."""
        return [session async for session in store.sessions(self._owner)] != []

    def give_back(self, store: crudjt.Store) -> None:
        """Leave the cookie as it was: it could not be taken over."""
        store.delete(self._token)


class Outcome(Enum):
    """The outcome for a cookie that names no session of the store."""

    UNKNOWN = "it is no old one either, or cannot be taken over"
    TAKEN = "its session goes on in the store"
    TAKEN_BEFORE = "another request has taken it over: this response must leave the new cookie of the browser alone"


def take_over(
    store: crudjt.Store, claim: Claim, read: Callable[[], AnyOld | None], begin: Callable[[AnyOld], None]
) -> Outcome:
    """Take over an old session, if its cookie was not taken over before.

    Args:
        store: the store.
        claim: of the cookie.
        read: returns the old session, ``None`` if there is none.
        begin: begins the session of the store.

    Raises:
        StoreError: the store failed. The old session is as it was, if the store could still note that.

    """
    old = read()
    if old is None:
        return Outcome.TAKEN_BEFORE if claim.is_taken(store) else Outcome.UNKNOWN
    if not claim.take(store):
        return Outcome.TAKEN_BEFORE
    try:
        begin(old)
    except crudjt.CrudjtError as error:
        claim.give_back(store)
        if not isinstance(error, crudjt.InvalidParameter):
            raise
        logger.warning(_REFUSED, str(error))
        return Outcome.UNKNOWN
    return Outcome.TAKEN


def save_old(claim: Claim, left: Left) -> Steps:
    """Store what a request left of an old session as one of the store, as `core.save`, if no other request has.

    What is no answer with a cookie leaves the old session as it is, but a logout ends it all the same.

    Returns:
        as `core.save`. The old session is to be ended if the cookie is to be set or forgotten.

    Raises:
        InvalidParameter: what the request has set cannot be stored.
        StoreError: the store failed. The old session is as it was, if the store could still note that.

    """
    if left.phase is not Phase.BEFORE_HEADERS and not left.ends:
        return Done("keep", None)
    try:
        token = yield claim.taking
    except TooManySessions:
        logger.info(_TAKEN)
        return (yield from _save_own(claim, left))
    try:
        done = yield from save(None, left)
    except crudjt.CrudjtError as error:
        if not left.ends:  # a logout holds
            yield Delete(token)
        if left.sets or not isinstance(error, crudjt.InvalidParameter):
            raise
        logger.warning(_REFUSED, str(error))
        return Done("keep", None)
    return done if done.held is not None else msgspec.structs.replace(done, cookie="forget")


def _save_own(claim: Claim, left: Left) -> Steps:
    """Store the login of a request, with its own keys alone, where another has taken the old session over.

    Of other requests nothing is stored. A logout removes the cookie, which may be that of the session which goes on.
    """
    if left.ends:
        done = yield from save(None, left)
        return done if done.held is not None else Done("forget", None, lost=True)
    if not left.login:
        return Done("keep", None, lost=True)
    data = left.own(claim.before)
    done = yield from save(None, msgspec.structs.replace(left, data=data))
    return done if done.merged is not None else msgspec.structs.replace(done, merged=data)


def signed_part(value: str) -> str:
    """Return what identifies a cookie that itsdangerous has signed: its signature can be spelled in several ways."""
    return value.rpartition(".")[0] or value


def checked_until(name: str, value: object) -> datetime:
    """Return the end that a setting names by a date, which counts as a whole in UTC, or by a datetime with a zone.

    Raises:
        InvalidParameter: it is neither.

    """
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time.max, timezone.utc)
    raise crudjt.InvalidParameter(name, f"{name}: 'until' must be a date, or a datetime with a time zone")


def checked_keys(name: str, value: object, *keys: str) -> Mapping[str, Any]:
    """Return a setting that is a mapping with these keys.

    Raises:
        InvalidParameter: it is not.

    """
    if not is_mapping(value) or set(value) != set(keys):
        raise crudjt.InvalidParameter(name, f"{name} must be a dict with the keys {', '.join(sorted(keys))}")
    return value
