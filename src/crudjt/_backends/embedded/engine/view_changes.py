"""Changes of the view that are more than one step: records, and the index entries of their subjects and labels."""

from collections.abc import Sequence
from typing import Any

from crudjt._backends.embedded.engine.control_block import CACHE_WORDS_MASK, FIRST_CACHE_WORD, unpack_last
from crudjt._core.changes import LABEL, SESSION, SUBJECT
from crudjt._core.header import FLAGS_OFFSET, HAS_LABELS, HAS_SUBJECT, HEADER_BYTES, NO_SUBJECT, TAG_OFFSET
from crudjt._core.record import each_label_tag


def put_new(transaction: Any, id_: bytes, record: bytes) -> bool:
    """Insert a new record, and the index entry of its subject, if it has one; return whether it has labels to file.

    Most new keys belong at the end of the tree. Appending fills the pages there completely; a plain put would not.
    """
    if not transaction.put(SESSION + id_, record, True, True, True):  # noqa: FBT003 - append; keywords cost
        transaction.put(SESSION + id_, record)
    flags = record[FLAGS_OFFSET]
    if not flags:
        return False
    if flags & HAS_SUBJECT:
        transaction.put(SUBJECT + record[TAG_OFFSET:HEADER_BYTES] + id_, b"")
    return flags >= HAS_LABELS


def file_labels(transaction: Any, id_: bytes, record: bytes) -> None:
    """Insert the index entries of the labels of a new record."""
    for tag in each_label_tag(record):
        transaction.put(LABEL + tag + id_, b"")


def unfile_labels(transaction: Any, id_: bytes, record: bytes) -> None:
    """Delete the index entries of the labels of a record."""
    for tag in each_label_tag(record):
        transaction.delete(LABEL + tag + id_)


def end_logged(transaction: Any, id_: bytes, subject_tag: bytes) -> bool:
    """Delete a session as the entry of its end has it; return whether there was one."""
    record = transaction.pop(SESSION + id_)
    if record is None:
        return False
    if record[FLAGS_OFFSET] >= HAS_LABELS:
        unfile_labels(transaction, id_, record)
    if subject_tag != NO_SUBJECT:
        transaction.delete(SUBJECT + subject_tag + id_)
    return True


def end_filed(transaction: Any, number: int, head: bytes, ids: Sequence[bytes], words: "memoryview[int]") -> None:
    """Delete sessions that have one header in common, in transaction `number`, as `Engine.write` does."""
    delete, index = transaction.delete, SUBJECT + head[TAG_OFFSET:HEADER_BYTES]
    if head[FLAGS_OFFSET] >= HAS_LABELS:
        for id_ in ids:
            unfile_labels(transaction, id_, transaction.get(SESSION + id_, b""))
    for id_ in ids:
        words[FIRST_CACHE_WORD + (unpack_last(id_)[0] & CACHE_WORDS_MASK)] = number
        delete(SESSION + id_)
    if head[TAG_OFFSET:HEADER_BYTES] != NO_SUBJECT:
        for id_ in ids:
            delete(index + id_)
