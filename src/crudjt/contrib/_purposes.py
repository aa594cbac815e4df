"""Purposes of secrets: sessions that are no login, kept apart from those of the same user."""

import re
from typing import Any, NamedTuple, TypeVar

from crudjt import AsyncStore, InvalidParameter, InvalidType, Session, Store
from crudjt._core.validation import checked_subject

AnyStore = TypeVar("AnyStore", Store, AsyncStore)

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_MARK = "\x1f"  # begins a subject of ours, and separates its parts; ids of users have no control characters
_DATA = "data"


class Granted(NamedTuple):
    """The grant of a right code or link: the user that it was made for, and the data that was given with it."""

    subject: str
    data: dict[Any, Any]

    def __repr__(self) -> str:
        """Show neither the user nor the data."""
        return "<Granted>"


class Purpose:
    """The purpose of secrets of one kind. Their sessions bear it in the subject, which is sealed."""

    def __init__(self, kind: str, name: str) -> None:
        """Take the kind of secret, and the name of the purpose."""
        if not isinstance(name, str):
            raise InvalidType("purpose", f"purpose must be a str, not {type(name).__name__}")
        if not _NAME.fullmatch(name):
            raise InvalidParameter(
                "purpose",
                "purpose must be 1 to 40 of a-z, 0-9, '-' and '_', and begin with a letter or digit: 'reset-password'",
            )
        self._prefix = f"{_MARK}{kind}{_MARK}{name}{_MARK}"

    def owner(self, subject: str) -> str:
        """Return the subject of the sessions for this purpose and a user."""
        return self._prefix + checked_subject(subject)

    def once(self, subject: str, ttl: float | None) -> dict[str, Any]:
        """Return the arguments of the `Store.create` that succeeds once for a subject within `ttl` seconds, or ever.

        Each further one raises `TooManySessions`, over all processes and hosts of the store.
        """
        return {"data": {}, "ttl": ttl, "subject": self.owner(subject), "max_sessions": 1, "when_full": "refuse"}

    @staticmethod
    def packed(data: dict[Any, Any] | None, **own: Any) -> dict[Any, Any]:
        """Return the data of a session: what the application gave, and our own."""
        return {**own, _DATA: {} if data is None else data}

    def owner_of(self, session: Session) -> str | None:
        """Return the user that a session of this purpose is for; ``None`` if it is for another, or a login."""
        subject = session.subject
        if subject is None or not subject.startswith(self._prefix):
            return None
        return subject[len(self._prefix) :]

    def granted(self, session: Session | None) -> Granted | None:
        """Return what a session of limited reads grants for this purpose; ``None`` if it is for another, or a login."""
        if session is None or session.reads_left is None:
            return None
        owner = self.owner_of(session)
        return None if owner is None else Granted(owner, session.data[_DATA])


def is_login(session: Session[Any]) -> bool:
    """Tell whether a session is that of a person's browser or client: it has any number of reads, and no purpose."""
    subject = session.subject
    return session.reads_left is None and (subject is None or not subject.startswith(_MARK))


def opens_alone(session: Session[Any]) -> bool:
    """Tell whether a session is a login whose token is enough, since it is bound to no key."""
    subject = session.subject  # as `is_login`, which would be a call more in every request
    return (
        session.reads_left is None and (subject is None or not subject.startswith(_MARK)) and session.bound_to is None
    )


def checked_store(store: object, kind: type[AnyStore]) -> AnyStore:
    """Return an open store of a kind.

    A call of the other kind, awaited or not, would do nothing, so that a check by it would let everything pass.

    Raises:
        InvalidType: it is another.

    """
    if isinstance(store, kind):
        return store
    given = type(store).__name__
    hint = ""
    if isinstance(store, AsyncStore):
        hint = ": use the class whose name begins with Async"
    elif isinstance(store, Store):
        hint = ": use the class without Async in its name, or crudjt.aio.wrap(store)"
    article = "an" if kind is AsyncStore else "a"
    raise InvalidType("store", f"store must be {article} {kind.__name__}, not {given}{hint}")


def checked_number(parameter: str, number: int, least: int, most: int) -> int:
    """Return a number that is within its bounds."""
    if type(number) is not int:
        raise InvalidType(parameter, f"{parameter} must be an int, not {type(number).__name__}")
    if not least <= number <= most:
        raise InvalidParameter(parameter, f"{parameter} must be from {least} to {most}, not {number}")
    return number
