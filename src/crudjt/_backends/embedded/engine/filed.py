"""The end of all sessions of a subject in one transaction, in two thirds of the time that it takes one by one.

They are looked at as they are removed, which is one search of the tree for each in place of two. And where no
transaction came between the one that found their index entries side by side and this one, they still lie so, and a
cursor that walks along them need not search for any but the first.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from crudjt._backends.embedded.engine.control_block import CACHE_WORDS_MASK, FIRST_CACHE_WORD, unpack_each_last
from crudjt._core.changes import DELETE, LABEL, SESSION, SUBJECT, Change
from crudjt._core.endings import Endings
from crudjt._core.gil import in_slices
from crudjt._core.header import head_of_subject, unpack_expires
from crudjt._core.keyring import Key
from crudjt._core.labels import Tags
from crudjt._core.lookup import opens
from crudjt._core.record import MIN_RECORD_BYTES


class Filed:
    """Sessions of a subject, none of which has a label."""

    def __init__(
        self, tag: bytes, ids: Sequence[bytes], as_of: int, now_ms: int, opens: Callable[[bytes, bytes], bool]
    ) -> None:
        """Take what is to end.

        Args:
            tag: the subject's.
            ids: of the sessions, of which some may have ended.
            as_of: the transaction as of which they are all that lies between the first and the last; 0 for none.
            now_ms: the time.
            opens: tells whether a record, which has an id, is unchanged.

        """
        self.tag = tag
        self._ids = ids
        self._as_of = as_of
        self._now_ms = now_ms
        self._opens = opens

    def __len__(self) -> int:
        """Return how many sessions end at most."""
        return len(self._ids)

    @property
    def first(self) -> Sequence[Change]:
        """The end of the first of them, which takes as much room as that of any other."""
        return ((DELETE, self._ids[0], head_of_subject(self.tag)[0]),)

    def end(self, transaction: Any, number: int, words: "memoryview[int]") -> tuple[int, Sequence[bytes]]:
        """End the sessions in transaction `number`; return how many were alive, and the ids of all that were there.

        A damaged record counts, since it may be of a session that is alive.
        """
        expired, ended = 0, list[bytes]()
        pop, now_ms = transaction.pop, self._now_ms
        for some in in_slices(self._ids):
            for id_, (last,) in zip(some, unpack_each_last(b"".join(some)), strict=True):
                record = pop(SESSION + id_)
                if record is not None:
                    # Before the commit: no cache may hold across it. `cache_word`, written out.
                    words[FIRST_CACHE_WORD + (last & CACHE_WORDS_MASK)] = number
                    if len(record) >= MIN_RECORD_BYTES and 0 < unpack_expires(record)[0] <= now_ms:
                        expired += self._opens(id_, record)
                    ended.append(id_)
        index = SUBJECT + self.tag
        if self._as_of + 1 == number and len(ended) == len(self._ids):
            self._end_along(transaction, index)
        else:
            for some in in_slices(ended):
                for id_ in some:
                    transaction.delete(index + id_)
        return len(ended) - expired, ended

    def _end_along(self, transaction: Any, index: bytes) -> None:
        with transaction.cursor() as cursor:
            cursor.set_key(index + self._ids[0])
            delete = cursor.delete  # which moves on to the next
            for some in in_slices(self._ids):
                for _ in some:
                    delete()


def end_filed(
    transaction: Any, sessions: Endings, key: Key, tags: Tags, as_of: int, ids: Sequence[bytes], now_ms: int
) -> tuple[int, Any]:
    """Decide as `Endings.end_filed`, or leave it to `Filed.end`; `as_of` is as there."""
    if tags.subject is None or tags.label is not None or len(ids) == 1 or _has_labels(transaction):
        return sessions.end_filed(transaction, key, tags, ids, now_ms)
    return 0, Filed(tags.subject, ids, as_of, now_ms, partial(opens, key))


def _has_labels(transaction: Any) -> bool:
    """Tell whether any session of the store has a label."""
    with transaction.cursor() as cursor:
        return bool(cursor.set_range(LABEL)) and bool(cursor.key().startswith(LABEL))
