"""A browser's session as values: what a request found, what it left, and what came of it."""

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Literal

import msgspec

from crudjt._core.codec import unpack
from crudjt._core.details import Client
from crudjt._core.session import Session
from crudjt.contrib._device_bound.binding import Binding, binding_of
from crudjt.contrib._purposes import opens_alone
from crudjt.contrib._sessions.calls import Data, Lifetime
from crudjt.contrib._sessions.merge import own, packed, packed_data
from crudjt.contrib._sessions.reserved import is_bare

logger = logging.getLogger("crudjt.contrib")


class Phase(Enum):
    """When a request saves its session."""

    BEFORE_HEADERS = "a cookie can still be sent"
    AFTER_HEADERS = "no cookie can be sent any more"
    FAILED = "the request raised, or answers with a status of 500 or more"


class Held(msgspec.Struct, frozen=True):
    """A stored session as a request found it, or left it at its last write.

    Attributes:
        token: its token.
        id: its handle; ``None`` if the token was made during this request, since to look it up would cost a read.
        subject: the subject that it is filed under.
        version: the version that the request knows.
        before: its data, packed, before the request changed anything; by whatever program packed it.
        read: the session as it was read; ``None`` if it began during this request.
        device: its binding to a device, ``None`` where it has none.

    """

    token: str
    id: str | None
    subject: str | None
    version: int
    before: bytes
    read: Session | None = None
    device: Binding | None = None

    def __repr__(self) -> str:
        """Name the session without its token, subject and data."""
        return f"<Held {self.id} version={self.version}>"

    def equals(self, after: bytes, sets: bool = False) -> bool:
        """Return whether packed data, by `merge.packed`, is what the request found; no data is equal to empty bytes.

        Another program may have packed equal data to other bytes. That is looked at only where no key was set.
        """
        before = self.before
        return bool(after) and (after == before or (not sets and after == packed(unpack(before))))

    @property
    def age(self) -> float:
        """Seconds from its beginning to the request, by the clock of the store."""
        read = self.read
        if read is None or read.expires_at is None or read.expires_in is None:
            return 0.0
        return (read.expires_at - read.created_at).total_seconds() - read.expires_in


def found(token: str, session: Session | None) -> Held | None:
    """Return the session that a cookie names, ``None`` if it names no live one.

    A token with `max_reads` or a purpose is a link that works once, an API token or the like, and never the session of
    a browser.
    """
    if session is None or not opens_alone(session):
        logger.info("a cookie was presented that names no live session")
        return None
    device = binding_of(session.data)
    return Held(token, session.id, session.subject, session.version, packed_data(session), session, device)


LifetimeOf = Callable[[Mapping[Any, Any], Held | None], Lifetime]


class Left(msgspec.Struct, frozen=True):
    """The session as a request left it.

    Attributes:
        data: the session's data, with the values of reserved keys.
        subject: the user it belongs to.
        lifetime: returns the limits for data that is about to be stored, by the session that it belongs to; that is
            ``None`` where a session begins.
        phase: when it is saved.
        login: the subject was assigned, also to the value it had.
        rotates: a new token was requested.
        ends: the session that was found is to end; `data` is what was set afterwards.
        touches: limits are to be renewed even if the data is unchanged.
        sets: keys were set or removed, so that other bytes mean other data.
        keeps_empty: a session without data and subject is stored all the same; otherwise it ends, or does not begin.
        max_sessions: how many sessions a user may have after a login, which ends the oldest; ``None`` for any number.
        binds: if the session gets a new token, it is offered to the device of the browser.
        client: the client to note where a session begins or gets a new token; ``None`` to note none.
        labels: the labels of a session that begins or gets a new token; ``None`` where none were set.
        login_keys: the keys of the data that a login sets, also where it has set them to what they were.

    """

    data: Data
    subject: str | None
    lifetime: LifetimeOf
    phase: Phase = Phase.BEFORE_HEADERS
    login: bool = False
    rotates: bool = False
    ends: bool = False
    touches: bool = False
    sets: bool = False
    keeps_empty: bool = False
    max_sessions: int | None = None
    binds: bool = False
    client: Client | None = None
    labels: tuple[str, ...] | None = None
    login_keys: tuple[str, ...] = ()

    def own(self, before: bytes) -> Data:
        """Return only the keys that the request set or changed, by the packed data that it found; and of a login."""
        changed = own(before, self.data)
        if not self.login:
            return changed
        return {key: value for key, value in self.data.items() if key in changed or key in self.login_keys}

    @property
    def room(self) -> int | None:
        """How many sessions the user may have with one that begins."""
        return None if self.subject is None else self.max_sessions

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to begin a session for."""
        return is_bare(self.data) and self.subject is None and not self.keeps_empty


class Done(msgspec.Struct, frozen=True):
    """The outcome for the response.

    Attributes:
        cookie: what becomes of the browser's cookie: ``"set"`` to `held.token`, or ``"forget"`` it.
        held: the session as it is stored now; ``None`` if there is none.
        merged: data to take over into the request's own; ``None`` if that is what is stored.
        lost: the session was ended elsewhere, so nothing was written.
        gone: the session that was found had been ended elsewhere.

    """

    cookie: Literal["keep", "set", "forget"]
    held: Held | None
    merged: Data | None = None
    lost: bool = False
    gone: bool = False


def subject_of(value: Any) -> str | None:
    """Return the subject for a user's id, ``None`` for no user."""
    return None if value is None or value == "" else str(value)
