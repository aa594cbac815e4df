"""Changes of the view that are more than one step: records, and the index entries of their subjects."""

from collections.abc import Sequence
from typing import Any

from crudjt._backends.embedded.engine.control_block import CACHE_WORDS_MASK, FIRST_CACHE_WORD, unpack_last
from crudjt._core.changes import SESSION, SUBJECT
from crudjt._core.record import HEADER_BYTES, NO_SUBJECT, TAG_OFFSET


def put_new(transaction: Any, id_: bytes, record: bytes) -> None:
    """Insert a new record, and the index entry of its subject, if it has one.

    Most new keys belong at the end of the tree. Appending fills the pages there completely; a plain put would not.
    """
    if not transaction.put(SESSION + id_, record, True, True, True):  # noqa: FBT003 - append; keywords cost
        transaction.put(SESSION + id_, record)
    tag = record[TAG_OFFSET:HEADER_BYTES]
    if tag != NO_SUBJECT:
        transaction.put(SUBJECT + tag + id_, b"")


def end_filed(transaction: Any, number: int, head: bytes, ids: Sequence[bytes], words: "memoryview[int]") -> None:
    """Delete sessions that have one header in common, in transaction `number`, as `Engine.write` does."""
    delete, index = transaction.delete, SUBJECT + head[TAG_OFFSET:HEADER_BYTES]
    for id_ in ids:
        words[FIRST_CACHE_WORD + (unpack_last(id_)[0] & CACHE_WORDS_MASK)] = number
        delete(SESSION + id_)
    if head[TAG_OFFSET:HEADER_BYTES] != NO_SUBJECT:
        for id_ in ids:
            delete(index + id_)
