"""A store in a directory whose sessions are being moved, or may be: it meets marks, and tells of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from crudjt._backends.embedded.engine import manifest, moving, sweep
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.listing import count_alive, everything, filed_under, newest_first
from crudjt._backends.embedded.location import Embedded
from crudjt._backends.embedded.store import EmbeddedStore
from crudjt._core.changes import SESSION, Change, Decision, Known, Reader
from crudjt._core.keyring import Key
from crudjt._core.labels import Named, Tags
from crudjt._core.listing import Listing, Page, page_of
from crudjt._core.moves import LATEST_ID, Identity, Looked, Marked, Note, is_mark, is_record
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.validation import checked_subject
from crudjt.errors import StoreInaccessible

_BATCH = 50  # small enough for the reserve of a full disk


class EmbeddedSource(EmbeddedStore):
    """The store that sessions are moved from.

    A call that meets the mark of a session raises `Marked`. A call that makes sessions raises `StoreMoved` once the
    move has begun.
    """

    replicas = None

    def __init__(self, parsed: Embedded) -> None:
        """Open the store.

        Raises:
            StoreInaccessible: it has sessions, and none of the secret keys made them.

        """
        super().__init__(parsed.directory, parsed.secrets, parsed.options)
        self._here = self._engine
        try:
            self._require_keys()
        except BaseException:
            self.close()
            raise
        knowing: Any = _KnowingEngine(self._here)  # stands between the methods of the store and its engine
        self._engine = knowing

    def _refuse_moves(self, engine: Engine) -> None:
        moving.refuse_arrival(engine)

    def _require_keys(self) -> None:
        if not self.key_is_known:
            raise StoreInaccessible(
                self.location, "cannot be moved without the secret key that its sessions were made with"
            )
        self.noted_sessions()

    def close(self) -> None:
        if isinstance(self._engine, _KnowingEngine):
            self._engine = self._here
        super().close()

    @property
    def store(self) -> "EmbeddedSource":
        """The calls."""
        return self

    def stats(self) -> Stats:
        counters = super().stats()
        return counters if self.note is None else replace(counters, sessions=counters.sessions - 1)

    def sweep(self, *, looked_at: Callable[[int], object] = lambda _sessions: None) -> int:
        return sweep.sweep(self._here, self._clock, looked_at=looked_at)

    # The move

    @property
    def identity(self) -> Identity:
        """The facts that the destination must share with the store."""
        found = manifest.load(self._here.directory)
        return Identity(found.salt, tuple(found.keys), found.placement)

    @property
    def has_begun(self) -> bool:
        """Tell whether the move may have begun. It has not as long as this is False."""
        return moving.has_begun(self._here)

    @property
    def note(self) -> Note | None:
        """The note of the move that has begun."""
        return moving.noted(self._here)

    def begin(self, move: bytes, location: str) -> int:
        """Begin the move, or take it over; return the epoch. Raises `OtherMove` if another has begun."""
        return moving.begin(self._here, move, location)

    def look(self, at: object | None, limit: int) -> Looked:
        """Return up to `limit` ids after one, in order, with their records and marks."""
        return moving.look(self._here, at if isinstance(at, bytes) else LATEST_ID, limit)

    def mark(self, epoch: int, records: Mapping[bytes, bytes]) -> list[bytes] | None:
        """Mark sessions, on disk; return their ids, or ``None`` to a mover of an old epoch."""
        return moving.mark(self._here, epoch, records)

    def clear(self, marks: Mapping[bytes, bytes]) -> None:
        """Remove the marks of sessions that have been published."""
        moving.clear(self._here, marks)

    def sync_marks(self, marks: Mapping[bytes, bytes]) -> None:  # noqa: ARG002 - all that were met are on disk then
        """Wait until the marks that were met are on disk."""
        self._here.sync_to(self._here.log_end().sequence)

    def is_placed(self, id_: bytes, record: bytes) -> bool:
        """Tell whether the id of a session names the place of its subject, and a secret key opens its record."""
        return self._sessions.is_placed(id_, record)

    # Calls about a subject, which go on past marks

    def sessions_and_marks(self, subject: str) -> tuple[list[Session], Mapping[bytes, bytes]]:
        """Return the live sessions of a subject, and the marks of others, by id."""
        checked_subject(subject)
        hiding = _Hiding(_Committed(self._here))
        return list(self._listed(subject, hiding.get)), hiding.marked

    def revoke_and_marks(self, names: Named, keep: str | None) -> tuple[int, Mapping[bytes, bytes]]:
        """End the sessions that are named; return how many, and the marks of others, which go on, by id."""
        ended, marked = 0, dict[bytes, bytes]()
        for key, tags, ids, _ in self._to_end(names, keep):
            for start in range(0, len(ids), _BATCH):
                ended += self._end_unmarked(key, tags, ids[start : start + _BATCH], marked)
        return ended, marked

    # Calls of operators, likewise

    def page_and_marks(self, wishes: Listing) -> tuple[Page, Mapping[bytes, bytes]]:
        """Return a page of the live sessions, and the marks of others that were met, by id."""
        marked = dict[bytes, bytes]()
        keyring = self._sessions.keyring
        found = newest_first(self._engine.scan_back, _Committed(self._here).get, keyring, wishes)
        page = page_of(wishes, keyring, _without_marks(found, marked), self._clock())
        return page, marked

    def count_and_marks(self, subject: str | None) -> tuple[int, Mapping[bytes, bytes]]:
        """Return how many sessions are alive, or how many of a subject, and the marks of others, by id."""
        if subject is None:
            found = everything(self._engine.scan)
        else:
            found = filed_under(self._ids(checked_subject(subject)), _Committed(self._here).get)
        marked = dict[bytes, bytes]()
        return count_alive(_without_marks(found, marked), self._now_ms()), marked

    def _end_unmarked(self, key: Key, tags: Tags, ids: list[bytes], marked: dict[bytes, bytes]) -> int:
        def decide(reader: Reader, now_ms: int) -> tuple[int, Sequence[Change]]:
            hiding = _Hiding(reader)
            result = self._sessions.end_filed(hiding, key, tags, ids, now_ms)
            marked.update(hiding.marked)
            return result

        return self._here.write(decide, (self._now_ms(),), self._durable, moving=True)


def _without_marks(found: Iterable[tuple[bytes, bytes]], marked: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield ids and records; keep the marks among them."""
    for id_, value in found:
        if is_mark(value):
            marked[id_] = value
        elif is_record(value):
            yield id_, value


class _Committed:
    """Reads what was committed last."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, key: bytes) -> bytes | None:
        return self._engine.get_in_move(key)[0]


class _Records:
    """Reads records, and raises `Marked` at a mark."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def get(self, key: bytes) -> bytes | None:
        return _checked(key, self._reader.get(key))


class _Transaction(_Records):
    """A write transaction whose reads raise `Marked` at a mark."""

    def __init__(self, transaction: Any) -> None:
        super().__init__(transaction)
        self.id = transaction.id


def _checked(key: bytes, value: bytes | None) -> bytes | None:
    """Return a record; raise `Marked` for a mark."""
    if value is None or is_record(value):
        return value
    if is_mark(value):
        raise Marked(key[len(SESSION) :], value)
    return None  # the note


class _Hiding:
    """Reads records, and hides marks, whose ids it keeps."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.marked: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        value = self._reader.get(key)
        if value is not None and is_mark(value):
            self.marked[key[len(SESSION) :]] = value
            return None
        return value


class _KnowingEngine:
    """An engine for the methods of a store that knows of moves: they read records, and never marks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.get = _Records(_Committed(engine)).get

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def get_with_id(self, key: bytes) -> tuple[bytes | None, int]:
        value, snapshot = self._engine.get_in_move(key)
        return _checked(key, value), snapshot

    def scan(self, prefix: bytes, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        return self._engine.scan(prefix, start, limit, moving=True)

    def endings_with_id(self, prefix: bytes, start: bytes, limit: int) -> tuple[list[bytes], int]:
        return self._engine.endings_with_id(prefix, start, limit, moving=True)

    def scan_back(self, prefix: bytes, before: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        return self._engine.scan_back(prefix, before, limit, moving=True)

    def write(
        self,
        decide: Decision[Any] | None,
        arguments: Sequence[Any],
        durable: bool = False,
        urgent: bool = True,
        moving: bool = False,
        known: Known | None = None,
    ) -> Any:
        if decide is None:
            # To make sessions is for the destination once the move has begun. What is known to hold is not marked.
            return self._engine.write(None, arguments, durable, urgent, moving or known is not None, known)

        def decide_on_records(transaction: Any, *given: Any) -> tuple[Any, Sequence[Change]]:
            return decide(_Transaction(transaction), *given)

        return self._engine.write(decide_on_records, arguments, durable, moving=True)
