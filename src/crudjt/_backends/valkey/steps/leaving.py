"""Take sessions from this store to another: the steps of a mover, and of calls that meet its marks."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.move_notes import begin_departure
from crudjt._backends.valkey.move_scripts import CHANGED, MARK, MARKED, RAISE
from crudjt._backends.valkey.requests import PRIMARIES, Ask, Node, Steps
from crudjt._backends.valkey.routing import CLUSTER_SLOTS
from crudjt._backends.valkey.steps import subjects
from crudjt._backends.valkey.steps.commit_requests import in_places, lifetime
from crudjt._backends.valkey.steps.fetched import Done, Fetched
from crudjt._backends.valkey.steps.records import Records
from crudjt._backends.valkey.steps.scanning import Scan
from crudjt._backends.valkey.topology import slot_of
from crudjt._core.changes import DELETE, INSERT, SESSION, Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.details import NewDetails
from crudjt._core.moves import Looked, Marked, is_mark, is_record, mark_of
from crudjt._core.record import NONCE
from crudjt._core.session import Session
from crudjt._core.tokens import PLACE, PLACE_BYTES
from crudjt._core.validation import KeepType, NewLimits

_PLACES = 1 << 8 * PLACE_BYTES
_KEYS = 1000  # of one script
_SCRIPTS = 500  # that are sent together


class LeavingRecords(Records):
    """The records of a store whose sessions are moved, or may be: a mark raises `Marked`."""

    def met(self, id_: bytes, mark: bytes) -> Steps[bytes | None]:
        """Raise for a mark."""
        yield from ()
        raise Marked(id_, mark)

    def absent(self) -> Steps[None]:
        """Accept that a session is not here: the caller looks elsewhere."""
        yield from ()


class PassingRecords(LeavingRecords):
    """Such records for one call about many sessions, which goes on past marks and keeps them."""

    def __init__(self, records: Records) -> None:
        """Take the records of the store."""
        super().__init__(records.location, records.layout, records.sessions, records.clock, records.durability)
        self._met: dict[bytes, bytes] = {}
        self.marked = self._met

    def met(self, id_: bytes, mark: bytes) -> Steps[bytes | None]:
        """Keep a mark, and pass over it."""
        yield from ()
        self._met[id_] = mark
        return None


class Swap(NamedTuple):
    """A rotation that is to make its session elsewhere."""

    token: str
    old: Change
    new: Change
    fetched: Fetched


def begin(records: Records, move: bytes, to: str, replicas: int, *, clustered: bool) -> Steps[int]:
    """Begin the move or take it over; return the epoch. From now on no session is made here."""
    epoch = yield from begin_departure(records.location, records.layout, move, to, replicas)
    groups = list(_epoch_keys(records.layout, clustered=clustered))
    for start in range(0, len(groups), _SCRIPTS):
        replies = yield [
            Ask(keys[0], (len(keys), *keys, epoch), RAISE, replicas) for keys in groups[start : start + _SCRIPTS]
        ]
        records.require(min(reply.acknowledged for reply in replies), replicas, "the beginning of the move")
    return epoch


def _epoch_keys(layout: Layout, *, clustered: bool) -> Iterator[list[bytes]]:
    """Yield the keys of all epochs, in groups of one slot each."""
    keys = [layout.epoch(number.to_bytes(PLACE_BYTES, "big")) for number in range(_PLACES)]
    if not clustered:
        yield from (keys[start : start + _KEYS] for start in range(0, _PLACES, _KEYS))
        return
    slots: dict[int, list[bytes]] = {}
    for key in keys:
        slots.setdefault(slot_of(key), []).append(key)
    yield from slots.values()


class Pass:
    """A pass over the sessions, which finds each that is there all the time.

    While slots move between servers, or replicas take over, a pass may miss some, and goes on with another.
    """

    def __init__(self, layout: Layout, *, clustered: bool) -> None:
        """Begin; nothing is sent."""
        self._layout = layout
        self._clustered = clustered
        self._scan: Scan | None = None
        self._map: list[object] = []
        self._waiting: list[bytes] = []
        self._ended = False

    def look(self, limit: int) -> Steps[Looked]:
        """Return the next ids, with their records and marks."""
        while not self._waiting and not self._ended:
            yield from self._scan_on()
        ids, self._waiting = self._waiting[:limit], self._waiting[limit:]
        replies = yield [Ask(key, (b"GET", key)) for key in map(self._layout.session, ids)]
        values = [cast("bytes | None", reply.value) for reply in replies]
        items = [(id_, value) for id_, value in zip(ids, values, strict=True) if value]
        found = [(id_, value) for id_, value in items if is_record(value) or is_mark(value)]
        return Looked(found, self if self._waiting or not self._ended else None)

    def _scan_on(self) -> Steps[None]:
        if self._scan is None or self._scan.ended:
            self._map = yield from self._owners()
            self._scan = Scan(self._layout.all_sessions)
        ids = map(self._layout.id_of, (yield from self._scan.step()))
        self._waiting += [id_ for id_ in ids if id_ is not None]
        if self._scan.ended:
            self._ended = (yield from self._owners()) == self._map

    def _owners(self) -> Steps[list[object]]:
        """Return what each primary says of the slots of all."""
        (reply,) = yield [PRIMARIES]
        nodes = cast("list[Node]", reply.value)
        if not self._clustered:
            return list(nodes)
        replies = yield [Ask(None, CLUSTER_SLOTS, node=node) for node in nodes]
        return [reply.value for reply in replies]


def mark(records: Records, epoch: int, staged: Mapping[bytes, bytes], replicas: int) -> Steps[list[bytes] | None]:
    """Mark sessions whose records are as given; return their ids, or ``None`` to a mover of an old epoch.

    Raises:
        StoreUnavailable: there was no answer, or too few replicas have a mark.

    """
    now_ms = records.clock() // NS_PER_MS
    asks: list[Ask] = []
    for id_, record in staged.items():
        key = records.layout.session(id_)
        px, _ = lifetime(record, now_ms)
        arguments = epoch, record[NONCE], mark_of(record), px
        asks.append(Ask(key, (2, key, records.layout.epoch(id_[PLACE]), *arguments), MARK, replicas))
    replies = yield asks
    if any(reply.value not in (CHANGED, MARKED) for reply in replies):
        return None
    marked = [(id_, reply.acknowledged) for id_, reply in zip(staged, replies, strict=True) if reply.value == MARKED]
    records.require(min((count for _, count in marked), default=replicas), replicas, "a mark")
    return [id_ for id_, _ in marked]


def clear(records: Records, marks: Mapping[bytes, bytes]) -> Steps[None]:
    """Remove marks. No replica is waited for: one that comes back does no harm."""
    fetched = Fetched({SESSION + id_: value for id_, value in marks.items()})
    changes: list[Change] = [(DELETE, id_, value) for id_, value in marks.items()]
    now_ms = records.clock() // NS_PER_MS
    yield from records.commit(in_places(changes), fetched, now_ms, 0, may_be_twice=True)


def confirm(records: Records, marks: Mapping[bytes, bytes], replicas: int) -> Steps[None]:
    """Return when replicas have marks that were met.

    Raises:
        StoreUnavailable: too few have them.

    """
    if replicas:
        places = {id_[PLACE] for id_ in marks}
        replies = yield [records.writing(place, replicas) for place in places]
        records.require(min(reply.acknowledged for reply in replies), replicas, "a mark")


def sessions(records: PassingRecords, subject: str) -> Steps[list[Session]]:
    """Return the live sessions of a subject, without those that are marked."""
    filed = yield from subjects.list_ids(records, subject)
    found: list[Session] = []
    for key, ids in subjects.pages_of(filed):
        found += yield from subjects.fetch_page(records, key, ids)
    return found


def rotation(
    records: Records,
    token: str,
    packed: bytes | None,
    subject: str | KeepType | None,
    limits: NewLimits,
    if_version: int | None,
    details: NewDetails,
) -> Steps[Swap | None]:
    """Decide on a rotation, and change nothing; ``None`` if there is no live session."""
    fetched = yield from records.fetch(records.ids_of(token))
    now_ns = records.clock()
    wishes = packed, subject, limits, if_version, details
    fresh, changes = records.sessions.rotate(fetched, token, None, now_ns, *wishes)
    if fresh is None:
        return None
    old, new = changes
    return Swap(fresh, old, new, fetched)


def swap(records: Records, wanted: Swap) -> Steps[bool]:
    """End the old session of a rotation, and mark the new one; return whether the old one was as it was fetched.

    In one script, or if the new one has its place elsewhere, in two: the mark first, by which it is found.
    """
    id_ = wanted.new[1]
    marking: Change = (INSERT, id_, mark_of(wanted.new[2]))
    batches = [[wanted.old, marking]] if wanted.old[1][PLACE] == id_[PLACE] else [[marking], [wanted.old]]
    now_ms, replicas = records.clock() // NS_PER_MS, records.durability.endings
    try:
        for changes in batches:
            (outcome,) = yield from records.commit([changes], wanted.fetched, now_ms, replicas)
            if not isinstance(outcome, Done):
                return False
    except Marked:  # the mover was faster
        return False
    return True
