"""The two stores of a move, as the moving store and the mover see them."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol

from crudjt._core.labels import Named
from crudjt._core.listing import Listing, Page
from crudjt._core.moves import Identity, Looked, Note
from crudjt._core.session import Session
from crudjt._core.stages import Staged
from crudjt.base import Store


class Source(Protocol):
    """The store that sessions are moved from.

    Its calls raise `Marked` at the mark of a session, or if they are about many tokens, may take it for none. Those
    that make sessions raise `StoreMoved` once the move has begun; a rotation may raise `RotationRefused`.
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
    def replicas(self) -> int | None:
        """How many replicas have each mark before the session can change elsewhere; ``None`` for a disk."""

    @property
    @abstractmethod
    def has_begun(self) -> bool:
        """Tell whether the move may have begun, which may take a trip. It has not as long as this is False."""

    @property
    @abstractmethod
    def note(self) -> Note | None:
        """The note of the move; ``None`` before it has begun."""

    @abstractmethod
    def sessions_and_marks(self, subject: str) -> tuple[list[Session], Mapping[bytes, bytes]]:
        """Return the live sessions of a subject, and the marks of others, by id."""

    @abstractmethod
    def revoke_and_marks(self, names: Named, keep: str | None) -> tuple[int, Mapping[bytes, bytes]]:
        """End the sessions that are named; return how many, and the marks of others, by id."""

    @abstractmethod
    def page_and_marks(self, wishes: Listing) -> tuple[Page, Mapping[bytes, bytes]]:
        """Return a page of the live sessions, and the marks of others that were met, by id."""

    @abstractmethod
    def count_and_marks(self, subject: str | None) -> tuple[int, Mapping[bytes, bytes]]:
        """Return how many sessions are alive, or how many of a subject, and the marks of others, by id."""

    @abstractmethod
    def sync_marks(self, marks: Mapping[bytes, bytes]) -> None:
        """Wait until no failure takes back marks that were met, by id."""

    @abstractmethod
    def begin(self, move: bytes, location: str) -> int:
        """Begin the move, or take it over; return the epoch. Raises `OtherMove` if another has begun."""

    @abstractmethod
    def look(self, at: object | None, limit: int) -> Looked:
        """Return up to `limit` ids with their records and marks, from a place that a look has returned on.

        A pass, from ``None`` until there is no next place, finds each record that is there all the time.
        """

    @abstractmethod
    def is_placed(self, id_: bytes, record: bytes) -> bool:
        """Tell whether the id of a session names the place of its subject, and a secret key opens its record."""

    @abstractmethod
    def mark(self, epoch: int, records: Mapping[bytes, bytes]) -> list[bytes] | None:
        """Mark sessions, so that no failure takes it back; return their ids, or ``None`` to a mover of an old epoch."""

    @abstractmethod
    def clear(self, marks: Mapping[bytes, bytes]) -> None:
        """Remove the marks of sessions that have been published, by id."""


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
    def replicas(self) -> int | None:
        """How many replicas have each session before it leaves the source; ``None`` for a disk."""

    @property
    @abstractmethod
    def has_finished(self) -> bool:
        """Whether all sessions have come."""

    @abstractmethod
    def publish(self, marks: Mapping[bytes, bytes], *, replicated: bool = False) -> None:
        """Publish sessions whose marks were met; with `replicated`, so that no failure takes it back."""

    @abstractmethod
    def stage(self, epoch: int, records: Mapping[bytes, bytes]) -> list[Staged]:
        """Stage records so that no failure takes it back; return the answer to each.

        Raises:
            StoreUnavailable: it is not known whether a stage is still to come. It must not be repeated with this epoch.

        """

    @abstractmethod
    def finish(self) -> None:
        """Note that all sessions have come, and remove what is left of the move."""
