"""Check a view in one pass: each record by itself, and all against subjects, count and log."""

from collections.abc import Iterator

from crudjt._backends.embedded.doctor.lmdb_pages import Tree
from crudjt._backends.embedded.engine.lmdb_format import Meta
from crudjt._core.changes import LABEL, SESSION, SUBJECT
from crudjt._core.header import NO_SUBJECT
from crudjt._core.moves import header_of
from crudjt._core.record import DamagedRecord, each_label_tag


class ViewContents:
    """Counts from one pass over the view. Entries found are removed from `expected`, which may be ``None``."""

    def __init__(self, tree: Tree, meta: Meta, expected: dict[bytes, bytes] | None) -> None:
        self.sessions = self.subjects = 0
        self._unreadable = self._unindexed = self._unlabelled = self._different = 0
        self._has_expectation = expected is not None
        left = expected or {}
        index: set[bytes] = set()  # the entries of subjects and labels sort before the sessions
        labels: set[bytes] = set()
        for key, record in tree.items(meta):
            if key.startswith(SUBJECT):
                index.add(key[len(SUBJECT) :])
            elif key.startswith(LABEL):
                labels.add(key[len(LABEL) :])
            elif key.startswith(SESSION):
                self._take(key[len(SESSION) :], record, index, labels, left)
        self._missing = len(left)
        self._dangling = len(index)
        self._dangling_labels = len(labels)

    def _take(self, id_: bytes, record: bytes, index: set[bytes], labels: set[bytes], left: dict[bytes, bytes]) -> None:
        self.sessions += 1
        if self._has_expectation and left.pop(id_, None) != record:
            self._different += 1
        try:
            tag = header_of(record).tag
        except DamagedRecord:
            self._unreadable += 1
            return
        entries = {label_tag + id_ for label_tag in each_label_tag(record)}
        self._unlabelled += not entries <= labels
        labels -= entries
        if tag != NO_SUBJECT:
            self.subjects += 1
            if tag + id_ in index:
                index.remove(tag + id_)
            else:
                self._unindexed += 1

    def faults(self, counted: int) -> Iterator[str]:
        """Yield the faults, as ends of a sentence that begins with "the view"."""
        if self._unreadable:
            yield f"holds {self._unreadable:,} records whose head is damaged"
        if self._unindexed:
            yield f"does not list {self._unindexed:,} sessions under their subject"
        if self._dangling:
            yield f"lists {self._dangling:,} sessions under a subject that they do not have"
        if self._unlabelled:
            yield f"does not list {self._unlabelled:,} sessions under their labels"
        if self._dangling_labels:
            yield f"lists {self._dangling_labels:,} sessions under a label that they do not have"
        if self.sessions != counted:
            yield f"holds {self.sessions:,} sessions where the control block counts {counted:,}"
        if self._different:
            yield f"holds {self._different:,} sessions otherwise than base and log say"
        if self._missing:
            yield f"lacks {self._missing:,} sessions that base and log hold"
