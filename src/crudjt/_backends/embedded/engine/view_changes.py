"""Changes of the view that are more than one step: records, and the index entries of their subjects and labels."""

from collections.abc import Sequence
from typing import Any

from crudjt._backends.embedded.engine.control_block import CACHE_WORDS_MASK, FIRST_CACHE_WORD, unpack_last
from crudjt._backends.embedded.engine.room import CHANGES_PER_WRITE
from crudjt._backends.embedded.engine.segment import ended_together
from crudjt._core.changes import INSERT, LABEL, REPLACE, SESSION, SUBJECT, Change
from crudjt._core.header import FLAGS_OFFSET, HAS_LABELS, HAS_SUBJECT, HEADER_BYTES, NO_SUBJECT, TAG_OFFSET
from crudjt._core.record import each_label_tag


def needs_room(changes: Sequence[Change]) -> bool:
    """Tell whether changes touch more pages than those of a transaction that need not ask for room of its own."""
    if len(changes) > CHANGES_PER_WRITE:
        return True
    for _, _, record in changes:  # noqa: SIM110 - a generator costs a tenth of a microsecond
        if record[FLAGS_OFFSET] >= HAS_LABELS:
            return True
    return False


def apply(transaction: Any, number: int, changes: Sequence[Change], words: "memoryview[int]") -> int:
    """Make the changes of transaction `number`; return how many sessions more there are."""
    if len(changes) > CHANGES_PER_WRITE and (ended := ended_together(changes)):
        end_filed(transaction, number, changes[0][2], ended, words)
        return -len(ended)
    more = 0
    for kind, id_, record in changes:
        if kind == INSERT:  # no process can have cached a new session
            if put_new(transaction, id_, record):
                file_labels(transaction, id_, record)
            more += 1
            continue
        # Before the commit: no cache may hold across it. `cache_word`, written out.
        words[FIRST_CACHE_WORD + (unpack_last(id_)[0] & CACHE_WORDS_MASK)] = number
        if kind == REPLACE:
            transaction.put(SESSION + id_, record)
            continue
        flags = record[FLAGS_OFFSET]
        if flags >= HAS_LABELS:  # `record` may be its header alone
            unfile_labels(transaction, id_, transaction.get(SESSION + id_, b""))
        transaction.delete(SESSION + id_)
        more -= 1
        if flags & HAS_SUBJECT:
            transaction.delete(SUBJECT + record[TAG_OFFSET:HEADER_BYTES] + id_)
    return more


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
