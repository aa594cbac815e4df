"""Check the sessions of a store against the indexes of subjects and labels, and mend them. Needs no secret key."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar, cast

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.requests import Ask, Reply, Steps
from crudjt._backends.valkey.scripts import LOOK
from crudjt._backends.valkey.steps.label_entries import (
    MAX_HEAD_BYTES,
    LabelEntry,
    heads_of,
    is_dangling,
    missing_of,
)
from crudjt._backends.valkey.steps.scanning import Scan
from crudjt._backends.valkey.steps.sealed_records import SealedRecords
from crudjt._core.changes import REPLACE, SESSION
from crudjt._core.header import NO_SUBJECT, RECORD_FORMAT, SUBJECT_TAG, expires_of
from crudjt._core.moves import MARK_FORMAT
from crudjt._core.record import NONCE, each_label_tag
from crudjt._core.tokens import PLACE
from crudjt.errors import StoreFailed

Item = TypeVar("Item")

_PAGE = 500  # members of an index that are looked at together
_SLACK_MS = 5000  # clocks differ, and a reply takes its time
_FORMATS = (b"", bytes([RECORD_FORMAT]), bytes([MARK_FORMAT]))
_NAMES = 5  # foreign keys that are named


class Entry(NamedTuple):
    """A session and its entry in an index, as of one time."""

    id: bytes
    head: bytes  # header and nonce; empty if there is no session
    score: float | None
    index_ms: int  # how long the index lives; below 0 for ever


class Examination:
    """The result of a pass over all keys.

    Attributes:
        counts: how many sessions, subjects' sessions, indexes and entries there are.
        missing: sessions that the index of their subject or of a label does not list, or lists wrongly.
        dangling: entries of indexes without a session of the subject or label, each with the key of its index.
        damaged: sessions whose records cannot be records.
        misused: keys of the store that hold values of another type.
        foreign: names of keys that are not of a store.

    """

    def __init__(self, records: SealedRecords, now_ms: int) -> None:
        """Take the records and the time of the servers."""
        self.counts: Counter[str] = Counter()
        self.missing: set[bytes] = set()
        self.dangling: set[tuple[bytes, bytes]] = set()
        self.damaged: set[bytes] = set()
        self.misused: set[bytes] = set()
        self.foreign: set[bytes] = set()
        self._records = records
        self._now_ms = now_ms

    def examine(self) -> Steps[None]:
        """Look at all keys of the namespace."""
        layout = self._records.layout
        scan = Scan(layout.everything)
        while not scan.ended:
            keys = yield from scan.step()
            sessions = [id_ for id_ in map(layout.id_of, keys) if id_ is not None]
            if sessions:
                yield from self._examine_sessions(sessions)
            for key in keys:
                if layout.tag_of(key) is not None:
                    yield from self._examine_index(key)
                elif layout.label_tag_of(key) is not None:
                    yield from self._examine_label(key)
                elif not layout.is_known(key):
                    self.foreign.add(key)

    def mend(self) -> Steps[int]:
        """Write what is missing into the indexes, and remove what has no session; return how many entries."""
        mended = 0
        for id_ in self.missing:
            fetched = yield from self._records.fetch([id_])
            record = fetched.get(SESSION + id_)
            if record is not None:  # to write a session again as it is writes its entry
                replicas = self._records.durability.changes
                yield from self._records.commit([[(REPLACE, id_, record)]], fetched, self._now_ms, replicas)
                mended += 1
        for index, id_ in self.dangling:
            yield [Ask(index, (b"ZREM", index, id_))]
            mended += 1
        return mended

    def _examine_sessions(self, ids: Sequence[bytes]) -> Steps[None]:
        layout = self._records.layout
        replies = yield from _of_right_type(
            [Ask(key, (b"GETRANGE", key, 0, MAX_HEAD_BYTES - 1)) for key in map(layout.session, ids)]
        )
        filed: list[tuple[bytes, bytes]] = []
        labelled: list[LabelEntry] = []
        for id_, reply in zip(ids, replies, strict=True):
            if reply is None:
                self.misused.add(layout.session(id_))
                continue
            head = cast("bytes", reply.value)
            if not head:  # it has just ended
                continue
            self.counts["sessions"] += 1
            if _is_damaged(head):
                self.damaged.add(id_)
                continue
            labelled += [LabelEntry(id_, layout.label(tag), expires_of(head)) for tag in each_label_tag(head)]
            if head[SUBJECT_TAG] != NO_SUBJECT:
                filed.append((id_, layout.index(id_[PLACE], head[SUBJECT_TAG])))
        self.counts["with a subject"] += len(filed)
        for entry in (yield from _look(layout, filed)):
            if entry.head and not self._is_listed(entry):
                self.missing.add(entry.id)
        self.missing.update((yield from missing_of(layout, labelled)))

    def _is_listed(self, entry: Entry) -> bool:
        """Tell whether the index lists a session until its end."""
        expires = expires_of(entry.head)
        if entry.score != (expires or float("inf")):
            return False
        return entry.index_ms < 0 or bool(expires and entry.index_ms + _SLACK_MS >= expires - self._now_ms)

    def _examine_index(self, index: bytes) -> Steps[None]:
        layout, tag = self._records.layout, self._records.layout.tag_of(index)
        (reply,) = yield from _of_right_type([Ask(index, (b"ZRANGE", index, 0, -1))])
        if reply is None:
            self.misused.add(index)
            return
        members = cast("list[bytes]", reply.value)
        self.counts["indexes"] += 1
        self.counts["entries"] += len(members)
        here = [id_ for id_ in members if layout.index(id_[PLACE], tag or b"") == index]
        self.dangling.update((index, id_) for id_ in set(members) - set(here))
        for page in _pages(here):
            for entry in (yield from _look(layout, [(id_, index) for id_ in page])):
                if entry.score is None:  # it has just ended
                    continue
                if not entry.head and entry.score <= self._now_ms + _SLACK_MS:
                    self.counts["expired entries"] += 1
                elif entry.head[SUBJECT_TAG] != tag and not _is_damaged(entry.head):  # revoke must find damaged ones
                    self.dangling.add((index, entry.id))

    def _examine_label(self, index: bytes) -> Steps[None]:
        (reply,) = yield from _of_right_type([Ask(index, (b"ZRANGE", index, 0, -1, b"WITHSCORES"))])
        if reply is None:
            self.misused.add(index)
            return
        scored = cast("list[bytes]", reply.value)
        self.counts["indexes"] += 1
        self.counts["entries"] += len(scored) // 2
        tag = self._records.layout.label_tag_of(index) or b""
        for page in _pages(list(zip(scored[::2], map(float, scored[1::2]), strict=True))):
            heads = yield from heads_of(self._records.layout, [id_ for id_, _ in page])
            for (id_, score), head in zip(page, heads, strict=True):
                if not head and score <= self._now_ms + _SLACK_MS:
                    self.counts["expired entries"] += 1
                elif is_dangling(id_, head, tag, self._now_ms) and not _is_damaged(head):
                    self.dangling.add((index, id_))


def foreign_names(foreign: set[bytes]) -> str:
    """Return some names of foreign keys for a reader."""
    names = ", ".join(repr(key)[1:] for key in sorted(foreign)[:_NAMES])
    return names if len(foreign) <= _NAMES else f"{names} and {len(foreign) - _NAMES} more"


def _look(layout: Layout, pairs: Sequence[tuple[bytes, bytes]]) -> Steps[list[Entry]]:
    """Return ids with their entries in indexes."""
    entries: list[Entry] = []
    for page in _pages(pairs):
        replies = yield from _of_right_type(
            [Ask(index, (2, layout.session(id_), index, id_), LOOK) for id_, index in page]
        )
        for (id_, _), reply in zip(page, replies, strict=True):
            if reply is None:  # session or index: each is looked at by itself too
                continue
            head, score, index_ms = cast("tuple[bytes, bytes | None, int]", reply.value)
            entries.append(Entry(id_, head, None if score is None else float(score), index_ms))
    return entries


def _is_damaged(head: bytes) -> bool:
    return 0 < len(head) < NONCE.stop or head[:1] not in _FORMATS


def _of_right_type(asks: Sequence[Ask]) -> Steps[list[Reply | None]]:
    """Return the replies to requests that change nothing, ``None`` for keys that hold values of another type."""
    try:
        return list((yield asks))
    except StoreFailed:
        middle = len(asks) // 2
        if not middle:
            return [None]
    return [*(yield from _of_right_type(asks[:middle])), *(yield from _of_right_type(asks[middle:]))]


def _pages(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), _PAGE):
        yield items[start : start + _PAGE]
