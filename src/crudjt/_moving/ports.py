"""The two stores of a move, as the moving store and the mover see them."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

from crudjt._core.listing import Listing, Page
from crudjt._core.moves import Identity, Note, Staged
from crudjt._core.session import Session
from crudjt.base import Store


class Source(Protocol):
    """The store that sessions are moved from.

    Its calls raise `Marked` at the mark of a session, and those that make sessions raise `StoreMoved` once the move has
    begun.
    """

    @property
    @abstractmethod
    def store(self) -> Store:
        """The calls."""

    @property
    @abstractmethod
    def identity(self) -> Identity:
        """The facts that the destination must share with the store."""

    @property
    @abstractmethod
    def has_begun(self) -> bool:
        """Tell whether the move may have begun. It has not as long as this is False."""

    @property
    @abstractmethod
    def note(self) -> Note | None:
        """The note of the move; ``None`` before it has begun."""

    @abstractmethod
    def sessions_and_marks(self, subject: str) -> tuple[list[Session], Mapping[bytes, bytes]]:
        """Return the live sessions of a subject, and the marks of others, by id."""

    @abstractmethod
    def revoke_and_marks(self, subject: str, keep: str | None) -> tuple[int, Mapping[bytes, bytes]]:
        """End the sessions of a subject; return how many, and the marks of others, by id."""

    @abstractmethod
    def page_and_marks(self, wishes: Listing) -> tuple[Page, Mapping[bytes, bytes]]:
        """Return a page of the live sessions, and the marks of others that were met, by id."""

    @abstractmethod
    def count_and_marks(self, subject: str | None) -> tuple[int, Mapping[bytes, bytes]]:
        """Return how many sessions are alive, or how many of a subject, and the marks of others, by id."""

    @abstractmethod
    def sync_marks(self) -> None:
        """Wait until the marks that were met are on disk."""

    @abstractmethod
    def begin(self, move: bytes, location: str) -> int:
        """Begin the move, or take it over; return the epoch. Raises `OtherMove` if another has begun."""

    @abstractmethod
    def look(self, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` ids after one, with their records and marks."""

    @abstractmethod
    def is_placed(self, id_: bytes, record: bytes) -> bool:
        """Tell whether the id of a session names the place of its subject, and a secret key opens its record."""

    @abstractmethod
    def mark(self, epoch: int, records: Mapping[bytes, bytes]) -> list[bytes] | None:
        """Mark sessions, on disk; return their ids, or ``None`` to a mover of an old epoch."""

    @abstractmethod
    def clear(self, ids: Sequence[bytes]) -> None:
        """Remove the marks of sessions that have been published."""


class Destination(Protocol):
    """The store that sessions are moved to."""

    @property
    @abstractmethod
    def store(self) -> Store:
        """The calls."""

    @property
    @abstractmethod
    def move(self) -> bytes:
        """The id of the move to this store."""

    @property
    @abstractmethod
    def replicas(self) -> int:
        """How many replicas have each session before it leaves the source."""

    @property
    @abstractmethod
    def has_finished(self) -> bool:
        """Whether all sessions have come."""

    @abstractmethod
    def publish(self, marks: Mapping[bytes, bytes], *, replicated: bool = False) -> None:
        """Publish sessions whose marks were met; with `replicated`, on all replicas."""

    @abstractmethod
    def stage(self, epoch: int, records: Mapping[bytes, bytes]) -> list[Staged]:
        """Stage records on all replicas; return the answer to each.

        Raises:
            StoreUnavailable: it is not known whether a stage is still to come. It must not be repeated with this epoch.

        """

    @abstractmethod
    def finish(self) -> None:
        """Note that all sessions have come, and remove what is left of the move."""
