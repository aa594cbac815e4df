"""The events of a store in a directory, from its log. Writers do nothing for them."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.follow import Gap, LogFollower, Read
from crudjt._core.changes import DELETE, INSERT, SESSION, SUBJECT
from crudjt._core.clock import EPOCH, Clock
from crudjt._core.events import OLDEST, Event, Position
from crudjt._core.header import NO_SUBJECT, SUBJECT_TAG, expires_of
from crudjt._core.keyring import Keyring
from crudjt._core.listing import opened_session
from crudjt._core.moves import is_record
from crudjt._core.stages import is_of_a_session

_BATCH = 500
POLL_SECONDS = 0.1
_KNOWN = 32_768  # sessions and subjects that a follower remembers, for what the log does not say of an ending
_NS_BYTES = 8  # of an id
_NS_PER_US = 1000

_Change = tuple[int, bytes, bytes]
Fact = TypeVar("Fact")


class EventLog:
    """Turns the entries of the log into events."""

    def __init__(self, engine: Callable[[], Engine], keyring: Keyring, clock: Clock, after: str | None) -> None:
        """Take what returns the engine, the keys, the clock, and a checked position.

        Raises:
            StoreClosed: the store is closed, as `batches` does later.

        """
        self._engine = engine
        self._keyring = keyring
        self._clock = clock
        self._deadlines: dict[bytes, int] = {}  # by id, in ms; 0 for none
        self._subjects: dict[bytes, str | None] = {}  # by subject tag
        self._latest: datetime | None = None  # a time that is no later than the next event
        self._follower = LogFollower(engine().log_directory, lambda: engine().log_end())
        self._done = 0  # events of the next entry that were read before
        position = None if after in (None, OLDEST) else Position.parsed(after or "")
        if after is None:
            self._follower.start_at_end()
            self._latest = self._now()
        elif position is None:
            self._follower.start_at_oldest()
        else:
            self._follower.start_after(position, self._events)  # for what is known of the sessions
            self._done = position.done

    def batches(self, *, follow: bool, wait: Callable[[float], None] = time.sleep) -> Iterator[list[Event]]:
        """Yield lists of events as they are committed; with `follow` for ever, with an empty list for each wait.

        Raises:
            StoreMoved: the sessions are moved to another store.

        """
        batch: list[Event] = []
        while True:
            looked_at = self._now()
            self._engine().refuse_move()
            for found in self._follower.read():
                batch += self._events(found)
                if len(batch) >= _BATCH:
                    yield batch
                    batch = []
            if batch or follow:
                yield batch
                batch = []
            if not follow:
                return
            self._latest = max(self._latest or looked_at, looked_at)
            wait(POLL_SECONDS)

    def _now(self) -> datetime:
        return EPOCH + timedelta(microseconds=self._clock() // _NS_PER_US)

    def _events(self, found: Read | Gap) -> list[Event]:
        if isinstance(found, Gap):
            self._done = 0
            return [Event("gap", str(found.position))]
        changes = [
            each
            for each in found.entry.changes
            if is_of_a_session(each[1]) and (each[0] == DELETE or is_record(each[2]))
        ]
        # A rotation ends one session and begins the next, after the endings of others for a limit.
        is_rotation = [kind for kind, _, _ in changes[-2:]] == [DELETE, INSERT]
        single, rotation = (changes[:-2], changes[-2:]) if is_rotation else (changes, [])
        count = len(single) + is_rotation
        header, sequence = found.segment, found.entry.sequence
        positions = [Position(header.number, header.crc_salt, sequence, done % count) for done in range(1, count + 1)]
        events = [self._event(str(at), each) for at, each in zip(positions, single, strict=False)]
        if rotation:
            (_, old, _), new = rotation
            self._deadlines.pop(old, None)
            events.append(self._put(str(positions[-1]), new, old))
        done, self._done = self._done, 0
        return events[done:]

    def _event(self, position: str, change: _Change) -> Event:
        kind, id_, value = change
        if kind != DELETE:
            return self._put(position, change)
        deadline = self._deadlines.pop(id_, 0)
        expired = 0 < deadline <= self._ms(self._latest)
        subject = self._subject_of(value)
        return Event("expired" if expired else "ended", position, self._latest, id=id_.hex(), subject=subject)

    def _put(self, position: str, change: _Change, previous: bytes | None = None) -> Event:
        """Return the event of a record that was written."""
        kind, id_, record = change
        session = opened_session(self._keyring, id_, record, 0, data=False)
        subject = None if session is None else session.subject
        _remember(self._deadlines, id_, expires_of(record))
        if record[SUBJECT_TAG] != NO_SUBJECT:
            _remember(self._subjects, record[SUBJECT_TAG], subject)
        is_new = kind == INSERT
        if is_new:
            self._latest = EPOCH + timedelta(microseconds=int.from_bytes(id_[:_NS_BYTES], "big") // _NS_PER_US)
        return Event(
            "rotated" if previous else "begun" if is_new else "changed",
            position,
            self._latest,
            is_new,
            id_.hex(),
            subject,
            None if session is None else session.version,
            previous.hex() if previous else None,
        )

    def _subject_of(self, tag: bytes) -> str | None:
        """Return the subject of a tag, if this follower has met it, or if another session of it is alive."""
        if tag == NO_SUBJECT:
            return None
        if tag not in self._subjects:
            _remember(self._subjects, tag, self._look_for(tag))
        return self._subjects[tag]

    def _look_for(self, tag: bytes) -> str | None:
        prefix = SUBJECT + tag
        for id_ in self._engine().endings(prefix, prefix, 1):
            record = self._engine().get(SESSION + id_)
            session = None if record is None else opened_session(self._keyring, id_, record, 0, data=False)
            if session is not None:
                return session.subject
        return None

    @staticmethod
    def _ms(moment: datetime | None) -> int:
        return 0 if moment is None else (moment - EPOCH) // timedelta(milliseconds=1)


def _remember(known: dict[bytes, Fact], key: bytes, fact: Fact) -> None:
    """Keep a fact, and forget the oldest one where there are too many."""
    known.pop(key, None)
    known[key] = fact
    if len(known) > _KNOWN:
        del known[next(iter(known))]
