"""Pages of sessions, newest first: check the arguments of a listing, and choose the sessions of a page."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from crudjt._core.clock import EPOCH, NS_PER_MS
from crudjt._core.codec import unpack
from crudjt._core.header import FLAGS_OFFSET, has_expired, is_created_before, reads_left_of
from crudjt._core.keyring import Keyring
from crudjt._core.record import DamagedRecord, label_tags, split_payload, unseal
from crudjt._core.session import Envelope, Session, SessionWithoutData
from crudjt._core.validation import checked_handle, checked_subject
from crudjt.errors import InvalidParameter, InvalidType

MAX_PAGE = 1000
"""The most sessions of a page."""


@dataclass(frozen=True)
class Page:
    """Some sessions of a listing, newest first; iterating over it yields them.

    Attributes:
        sessions: the sessions, never with their tokens.
        next: the `after` of the next page; ``None`` if there were no older sessions.

    """

    sessions: tuple[Session, ...]
    next: str | None

    def __iter__(self) -> Iterator[Session]:
        """Yield the sessions."""
        return iter(self.sessions)

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.sessions)


class Listing(NamedTuple):
    """The arguments of a listing, checked."""

    after: bytes | None  # an id: the page begins with the next older one
    limit: int
    subject: str | None
    created_before: int | None  # in ms since 1970
    data: bool

    def wants(self, id_: bytes, subject: str | None, created_ms: int) -> bool:
        """Tell whether a live session is to be listed. Backends outside this package call it (docs/backends.md)."""
        if self.after is not None and id_ >= self.after:
            return False
        return self.subject in {None, subject} and (self.created_before is None or created_ms < self.created_before)


def is_listed(head: bytes, created_before: int | None, now_ms: int) -> bool:
    """Tell whether a header, which is not authenticated yet, is that of a session to list."""
    return not has_expired(head, now_ms) and (created_before is None or is_created_before(head, created_before))


def checked_listing(
    after: str | None, limit: int, subject: str | None, created_before: datetime | None, *, data: bool
) -> Listing:
    """Return the arguments of `Store.list`.

    Raises:
        InvalidParameter: one is out of range; `InvalidType` if it is of a wrong type.

    """
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise InvalidType("limit", f"limit must be an int, not {type(limit).__name__}")
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidParameter("limit", f"limit must be from 1 to {MAX_PAGE} sessions, not {limit}")
    return Listing(
        None if after is None else checked_handle(after, "after"),
        limit,
        None if subject is None else checked_subject(subject),
        None if created_before is None else _milliseconds("created_before", created_before),
        bool(data),
    )


def page_of(wishes: Listing, keyring: Keyring, candidates: Iterable[tuple[bytes, bytes]], now_ns: int) -> Page:
    """Return the first sessions among ids and records, which come newest first."""
    sessions: list[Session] = []
    for id_, record in candidates:
        if not is_listed(record, wishes.created_before, now_ns // NS_PER_MS):
            continue
        session = opened_session(keyring, id_, record, now_ns, data=wishes.data)
        if session is None:
            continue
        if len(sessions) == wishes.limit:
            return Page(tuple(sessions), sessions[-1].id)
        sessions.append(session)
    return Page(tuple(sessions), None)


def joined(limit: int, pages: Iterable[Page]) -> Page:
    """Return the first sessions of the pages of several stores. A session that is in two of them is taken once."""
    found = list(pages)
    by_id = {session.id: session for page in found for session in page}
    newest = sorted(by_id, reverse=True)
    chosen = tuple(by_id[id_] for id_ in newest[:limit])
    is_last = len(newest) <= limit and all(page.next is None for page in found)
    return Page(chosen, None if is_last or not chosen else chosen[-1].id)


def opened_session(keyring: Keyring, id_: bytes, record: bytes, now_ns: int, *, data: bool = True) -> Session | None:
    """Return the session of a record, or ``None`` if none of the keys opens it."""
    for key in keyring.newest_first:
        try:
            head, payload = unseal(key.cipher, id_, record)
        except DamagedRecord:
            continue
        packed, subject, details = split_payload(head[FLAGS_OFFSET], payload, label_tags(record))
        envelope, reads_left = Envelope(id_, head, subject, details), reads_left_of(head) or None
        if not data:
            return SessionWithoutData({}, reads_left, envelope, now_ns)
        return Session(unpack(packed), reads_left, envelope, now_ns)
    return None


def _milliseconds(parameter: str, moment: datetime) -> int:
    if not isinstance(moment, datetime):
        raise InvalidType(parameter, f"{parameter} must be a datetime, not {type(moment).__name__}")
    if moment.tzinfo is None:
        raise InvalidParameter(parameter, f"{parameter} must have a time zone, such as datetime.timezone.utc")
    return -((EPOCH - moment) // timedelta(milliseconds=1))  # rounded up: times in records are rounded down
