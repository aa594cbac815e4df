"""Entries of the indexes of labels, which lie at places of their own.

An entry is written before the record that has the label, and removed after that has gone. So whoever reads an index
finds each session that is there, and may find others, which it tells from them by their records.
"""

import contextlib
from collections.abc import Iterable, Sequence

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.requests import Ask, Steps
from crudjt._backends.valkey.steps.fetched import Done, Outcome
from crudjt._core.changes import DELETE, Change
from crudjt._core.header import FLAGS_OFFSET, HAS_LABELS
from crudjt._core.record import each_label_tag
from crudjt.errors import StoreError


def labelled(batches: Iterable[Sequence[Change]]) -> list[Change]:
    """Return the changes of sessions that have labels."""
    return [change for batch in batches for change in batch if change[2][FLAGS_OFFSET] >= HAS_LABELS]


def to_file(changes: Iterable[Change]) -> list[tuple[bytes, bytes]]:
    """Return ids and records of the sessions that are to be filed before changes are committed."""
    return [(id_, record) for kind, id_, record in changes if kind != DELETE]


def remove(layout: Layout, batches: Iterable[Sequence[Change]], outcomes: Iterable[Outcome]) -> Steps[None]:
    """Remove the entries of sessions that have ended. One that stays does no harm, and ends with its index."""
    done = [batch for batch, outcome in zip(batches, outcomes, strict=True) if isinstance(outcome, Done)]
    ended = [change for change in labelled(done) if change[0] == DELETE]
    keys = [(id_, layout.label(tag)) for _, id_, record in ended for tag in each_label_tag(record)]
    if keys:
        with contextlib.suppress(StoreError):
            yield [Ask(key, (b"ZREM", key, id_)) for id_, key in keys]
