"""Count the live sessions of a subject, and find those that end so that a new one keeps its limit."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from crudjt._core.changes import DELETE, SESSION, Change, Reader
from crudjt._core.gil import in_batches
from crudjt._core.lookup import Finder
from crudjt._core.validation import SessionLimit
from crudjt.errors import TooManySessions


class IndexReader(Reader, Protocol):
    """A `Reader` that also knows which sessions a subject has, as of the same commit."""

    @abstractmethod
    def filed(self, tag: bytes) -> Sequence[bytes]:
        """Return the ids that are filed under a subject tag."""


class Counter(Finder):
    """Counts sessions under each secret key."""

    def make_room(
        self, reader: IndexReader, subject: str, limit: SessionLimit, now_ms: int, leaving: bytes | None = None
    ) -> list[Change]:
        """Return the changes that leave room for one more session of a subject: its oldest sessions end.

        Args:
            reader: what is stored.
            subject: the owner.
            limit: how many sessions it may have.
            now_ms: the time.
            leaving: the id of a session that ends anyway, and is not counted.

        Raises:
            TooManySessions: there is no room, and no session is to end for it.

        """
        alive: list[tuple[int, bytes, bytes]] = []
        for key in self.keyring.newest_first:
            for id_ in in_batches(reader.filed(key.subject_tag(subject))):
                record = None if id_ == leaving else reader.get(SESSION + id_)
                if record is not None:
                    header = self.header(id_, record)
                    if header.alive(now_ms):
                        alive.append((header.created, id_, record))
        surplus = len(alive) + 1 - limit.max_sessions
        if surplus <= 0:
            return []
        if limit.refuse:
            raise TooManySessions(limit.max_sessions)
        return [(DELETE, id_, record) for _, id_, record in sorted(alive)[:surplus]]
