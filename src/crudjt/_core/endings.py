"""End sessions: one, many, those of a subject or with a label, and the oldest of a subject that has too many."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from crudjt._core.changes import DELETE, SESSION, Change, Reader
from crudjt._core.gil import in_batches, in_slices
from crudjt._core.header import (
    FLAGS_OFFSET,
    HAS_LABELS,
    HEADER_BYTES,
    NO_SUBJECT,
    has_expired,
    head_of_subject,
    unpack_expires,
)
from crudjt._core.keyring import Key
from crudjt._core.labels import Tags
from crudjt._core.lookup import Finder, opens
from crudjt._core.record import MIN_RECORD_BYTES
from crudjt._core.validation import SessionLimit
from crudjt.errors import TooManySessions


class IndexReader(Reader, Protocol):
    """A `Reader` that also knows which sessions a subject has, as of the same commit."""

    @abstractmethod
    def filed(self, tag: bytes) -> Sequence[bytes]:
        """Return the ids that are filed under a subject tag."""


class Endings(Finder):
    """The decisions that end sessions."""

    def end(self, reader: Reader, token: str, now_ms: int) -> tuple[bool, Sequence[Change]]:
        """End a session; the result is whether it was alive."""
        located = self.locate(reader.get, token)
        if located is None:
            return False, ()
        key, id_, record = located
        alive = self.header(id_, record).alive(now_ms)
        return alive or not opens(key, id_, record), ((DELETE, id_, record),)

    def end_many(self, reader: Reader, tokens: Sequence[str], now_ms: int) -> tuple[int, list[Change]]:
        """End sessions; the result counts those that were alive."""
        alive, changes = 0, dict[bytes, Change]()
        for token in in_batches(tokens):
            found = self.find(reader.get, token)
            if found is not None and found.id not in changes:
                alive += found.header.alive(now_ms) or not opens(found.key, found.id, found.record)
                changes[found.id] = DELETE, found.id, found.record
        return alive, list(changes.values())

    def end_id(self, reader: Reader, id_: bytes, subject: str | None, now_ms: int) -> tuple[bool, list[Change]]:
        """End a session by its id, if it belongs to one of our keys, and to `subject` where one is given.

        The result is whether it was alive.
        """
        record = reader.get(SESSION + id_)
        if record is None:
            return False, []
        header = self.header(id_, record)
        key = next((key for key in self.keyring.newest_first if opens(key, id_, record)), None)
        if key is None or (subject is not None and self.opened(key, id_, record)[2] != subject):
            return False, []
        return header.alive(now_ms), [(DELETE, id_, record)]

    def end_filed(
        self, reader: Reader, key: Key, wanted: Tags, ids: Sequence[bytes], now_ms: int
    ) -> tuple[int, list[Change]]:
        """End sessions that are filed under the tag of a subject, of a label, or of both; count those that were alive.

        A damaged record goes too, and counts, since it may be of a session that is alive.
        """
        alive, changes = 0, list[Change]()
        if wanted.label is not None:
            return self._end_labelled(reader, key, wanted, ids, now_ms)
        head, labelled = head_of_subject(wanted.subject or NO_SUBJECT)
        get = reader.get
        for some in in_slices(ids):
            for id_ in some:
                record = get(SESSION + id_)
                if record is not None:
                    # `has_expired`, written out: the call takes 5 % of it.
                    is_whole = len(record) >= MIN_RECORD_BYTES
                    if is_whole and 0 < unpack_expires(record)[0] <= now_ms and opens(key, id_, record):
                        alive -= 1
                    has_labels = is_whole and record[FLAGS_OFFSET] >= HAS_LABELS
                    changes.append((DELETE, id_, labelled if has_labels else head))
        return alive + len(changes), changes

    def _end_labelled(
        self, reader: Reader, key: Key, wanted: Tags, ids: Sequence[bytes], now_ms: int
    ) -> tuple[int, list[Change]]:
        alive, changes = 0, list[Change]()
        for id_ in in_batches(ids):
            record = reader.get(SESSION + id_)
            if record is None or (not wanted.fits(record) and opens(key, id_, record)):
                continue
            is_whole = len(record) >= MIN_RECORD_BYTES
            alive += not (is_whole and has_expired(record, now_ms) and opens(key, id_, record))
            changes.append((DELETE, id_, record.ljust(HEADER_BYTES, b"\0")))
        return alive, changes

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
