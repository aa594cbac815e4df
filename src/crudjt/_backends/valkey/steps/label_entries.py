"""Check entries of the indexes of labels against sessions, which no script can look at together."""

from collections.abc import Sequence
from typing import NamedTuple, cast

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.requests import Ask, Steps
from crudjt._core.clock import NS_PER_MS
from crudjt._core.details import MAX_LABELS
from crudjt._core.header import LABEL_TAG_BYTES
from crudjt._core.record import NONCE, each_label_tag

MAX_HEAD_BYTES = NONCE.stop + MAX_LABELS * LABEL_TAG_BYTES
"""Of a record, up to its label tags."""
IN_FLIGHT_MS = 60_000
"""After which no call is still about to write the record of an entry."""

_TIME_BYTES = 8  # at the start of an id, in ns


class LabelEntry(NamedTuple):
    """The entry that a session must have in the index of a label."""

    id: bytes
    key: bytes  # of the index
    expires: int  # in ms, 0 for never


def may_be_in_flight(id_: bytes, now_ms: int) -> bool:
    """Tell whether an id is so new that its record may still be on its way."""
    return int.from_bytes(id_[:_TIME_BYTES], "big") // NS_PER_MS > now_ms - IN_FLIGHT_MS


def missing_of(layout: Layout, wanted: Sequence[LabelEntry]) -> Steps[set[bytes]]:
    """Return the ids of sessions without an entry that ends no earlier than they.

    An entry is written before its record and removed after it, so it counts as missing only while the record is there.
    """
    if not wanted:
        return set()
    replies = yield [Ask(each.key, (b"ZSCORE", each.key, each.id)) for each in wanted]
    scores = [None if reply.value is None else float(cast("bytes", reply.value)) for reply in replies]
    suspects = [
        each
        for each, score in zip(wanted, scores, strict=True)
        if score is None or score < (each.expires or float("inf"))
    ]
    heads = yield from heads_of(layout, [each.id for each in suspects])
    return {
        each.id
        for each, head in zip(suspects, heads, strict=True)
        if each.key in map(layout.label, each_label_tag(head))
    }


def is_dangling(id_: bytes, head: bytes, tag: bytes, now_ms: int) -> bool:
    """Tell whether an entry is of a session that is not there, or has no such label."""
    return not may_be_in_flight(id_, now_ms) if not head else tag not in each_label_tag(head)


def heads_of(layout: Layout, ids: Sequence[bytes]) -> Steps[list[bytes]]:
    """Return the start of each record, up to its label tags; empty where there is none."""
    if not ids:
        return []
    replies = yield [Ask(key, (b"GETRANGE", key, 0, MAX_HEAD_BYTES - 1)) for key in map(layout.session, ids)]
    return [cast("bytes", reply.value) for reply in replies]
