"""`Session`: the session of a token, as it was when read."""

import time
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic

import msgspec

from crudjt._core.clock import NS_PER_MS, utc
from crudjt._core.details import Client, Details, pack_details
from crudjt._core.header import NO_SUBJECT, RECORD_FORMAT, Header, unpack_header, version_of

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Data = TypeVar("Data", default=dict[Any, Any])  # so that `Session` alone is that of a store without a model
else:
    from typing import TypeVar

    Data = TypeVar("Data")

NewData = TypeVar("NewData")


class Envelope(msgspec.Struct, gc=False):
    """Session metadata. The header is parsed on first use."""

    id: bytes
    head: bytes
    subject: str | None
    details: Details | None

    @property
    def header(self) -> Header:
        """The fixed part of the record."""
        return Header(*unpack_header(self.head))

    @property
    def stored(self) -> bytes | None:
        """The packed data, where it is kept."""
        return None

    @property
    def is_of_older_key(self) -> bool:
        """Whether the token was made with another secret key than the newest of the store."""
        return False


class OlderEnvelope(Envelope, gc=False):
    """Metadata of a session whose token was made with an older secret key."""

    @property
    def is_of_older_key(self) -> bool:
        """True."""
        return True


class Session(msgspec.Struct, Generic[Data], frozen=True, eq=False, gc=False):
    """A session as it was when read.

    Immutable; `data` is the caller's own copy: a dict, or from a typed store an instance of the model. `reads_left`
    counts the reads that remain after this one, ``None`` for unlimited.
    """

    data: Data
    reads_left: int | None
    _envelope: Envelope
    _now_ns: int  # when it was read; any number where it never expires

    @property
    def id(self) -> str:
        """The public handle, 32 hexadecimal digits: names the session to `Store.revoke_id`, and is no token."""
        return self._envelope.id.hex()

    @property
    def subject(self) -> str | None:
        """The owner of the session, as given to `create`."""
        return self._envelope.subject

    @property
    def client(self) -> Client | None:
        """The client of the session, as given to `create` or `rotate`."""
        details = self._envelope.details
        return None if details is None else details.client

    @property
    def bound_to(self) -> str | None:
        """The thumbprint of the key that the session is bound to, as given to `create` or `rotate`."""
        details = self._envelope.details
        return None if details is None else details.bound_to

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the session, as given to `create` or `rotate`, each once."""
        details = self._envelope.details
        return () if details is None else details.labels

    @property
    def version(self) -> int:
        """Counts the updates, from 1; for ``update(if_version=…)``."""
        return version_of(self._envelope.head)

    @property
    def created_at(self) -> datetime:
        """When the session was created, in UTC."""
        return utc(self._envelope.header.created)

    @property
    def expires_at(self) -> datetime | None:
        """When the session ends if it is not used again, in UTC; ``None`` for never."""
        expires = self._envelope.header.expires
        return utc(expires) if expires else None

    @property
    def expires_in(self) -> float | None:
        """Seconds from the read to `expires_at`; ``None`` for never."""
        expires = self._envelope.header.expires
        return (expires * NS_PER_MS - self._now_ns) / 1e9 if expires else None

    @property
    def last_seen(self) -> datetime | None:
        """When the session was last used, in UTC; ``None`` if it has no idle timeout.

        Up to a tenth of the idle timeout too early, since a read moves the deadline in such steps. Within one idle
        timeout of the end of its lifetime (`ttl`), it is only known that it was used then or later.
        """
        header = self._envelope.header
        return utc(max(header.expires - header.idle, header.created)) if header.idle else None

    def __repr__(self) -> str:
        """Name the session without its data or subject."""
        return f"<Session {self.id} version={self.version}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return nothing more than `repr` for rich; the inherited method would show the data."""
        return [("id", self.id), ("version", self.version)]


class SessionWithoutData(Session, frozen=True, eq=False, gc=False):
    """A session whose data was not asked for."""

    def __getattribute__(self, name: str) -> Any:
        """Return an attribute; raise `AttributeError` for `data`."""
        if name == "data":
            raise AttributeError("the session was listed without its data: pass data=True, or look for it with find")
        return super().__getattribute__(name)


def has_data(session: Session) -> bool:
    """Tell whether the data of a session was read."""
    return not isinstance(session, SessionWithoutData)


def stored_data(session: Session) -> bytes | None:
    """Return the data of a session as it is stored, ``None`` where the backend does not keep it."""
    return session._envelope.stored  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - of this module


def read_at_ns(session: Session) -> int:
    """Return when a session was read, in nanoseconds since 1970 UTC.

    By the clock of its store; by that of this host for a session that never expires.
    """
    return session._now_ns if session._envelope.header.expires else time.time_ns()  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - of this module


def seconds_of_lifetime(session: Session) -> float | None:
    """Return the seconds from the read to the end that no use of a session extends, ``None`` if it is not known."""
    header = session._envelope.header  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - of this module
    end = header.hard_expiry or (0 if header.idle else header.expires)
    return (end * NS_PER_MS - session._now_ns) / 1e9 if end else None  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - of this module


def is_of_older_key(session: Session) -> bool:
    """Tell whether a session that was read by its token is of another secret key than the newest of its store."""
    return session._envelope.is_of_older_key  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - of this module


def with_data(session: Session[Any], data: NewData) -> Session[NewData]:
    """Return the same session with other data."""
    return Session(data, session.reads_left, session._envelope, session._now_ns)  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - of this module


def new_session(
    *,
    id: bytes,  # noqa: A002 - named as Session.id is
    data: dict[Any, Any] | None,
    version: int,
    created_ms: int,
    now_ns: int,
    expires_ms: int = 0,
    reads_left: int | None = None,
    subject: str | None = None,
    last_seen_ms: int | None = None,
    client: Client | None = None,
    bound_to: str | None = None,
    labels: Iterable[str] = (),
    of_older_key: bool = False,
) -> Session:
    """Return a session for a backend that keeps no records.

    Args:
        id: the 16 bytes of `Session.id`.
        data: a dict that no other caller has; ``None`` for a session that is listed without its data.
        version: counts the updates, from 1.
        created_ms: when the session was created, in milliseconds since 1970 UTC.
        now_ns: when it was read, in nanoseconds since 1970 UTC.
        expires_ms: when it ends if it is not read again, in milliseconds since 1970 UTC; 0 for never.
        reads_left: the reads that remain after this one; ``None`` for any number.
        subject: its owner.
        last_seen_ms: when it was last used, in milliseconds since 1970 UTC; ``None`` if it has no idle timeout.
        client: its client.
        bound_to: the thumbprint of the key that it is bound to.
        labels: its labels.
        of_older_key: whether it is of another secret key than the newest of its store.

    """
    idle = 0 if last_seen_ms is None else expires_ms - last_seen_ms
    header = Header(RECORD_FORMAT, 0, 0, version, created_ms, expires_ms, 0, idle, reads_left or 0, NO_SUBJECT)
    details = None
    if client is not None or bound_to is not None or labels:
        details = pack_details(client, bound_to, labels)
    envelope = (OlderEnvelope if of_older_key else Envelope)(id, header.packed(), subject, details)
    if data is None:
        return SessionWithoutData({}, reads_left, envelope, now_ns)
    return Session(data, reads_left, envelope, now_ns)
