"""Changes that leave what they wrote in the read cache, for the next request of the same browser.

Such an entry is noted with the value that the word of its session has from its transaction on: for an update or a
counted read the transaction's id. A new id has had no change, so its word is noted as it was before the transaction:
only a later one changes that session, and it has a higher id. Where another change comes between commit and note, the
entry is a miss, never a stale hit.

Only reads that change a session, updates and rotations with data and `if_version`, or with a subject, come here: they
are a request that has read the session, and expects the next one. Other writes stay as short as they can be.
"""

from crudjt._backends.embedded.engine.control_block import cache_word
from crudjt._backends.embedded.read_cache import Cached
from crudjt._core.changes import Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.header import HEADER_BYTES, LIMITS, NO_LIMITS_BYTES, still_until, unpack_limits
from crudjt._core.validation import KEEP, KeepType


def changed(known: Cached, change: Change, packed: bytes, number: int) -> Cached:
    """Return the entry of a session that transaction `number` has changed."""
    _, id_, record = change
    head, until_ns = record[:HEADER_BYTES], known.until_ns
    if head[LIMITS] != known.head[LIMITS]:
        until_ns = served_until_ns(head)
    return Cached(id_, head, known.subject, known.details, known.key, known.words, known.word, number, until_ns, packed)


def rotated(known: Cached, change: Change, subject: str | KeepType | None, packed: bytes | None) -> Cached:
    """Return the entry of a session that is about to be moved."""
    _, id_, record = change
    head, owner = record[:HEADER_BYTES], known.subject if subject is KEEP else subject
    words, word = known.words, cache_word(id_)
    data = known.packed if packed is None else packed
    return Cached(id_, head, owner, known.details, 0, words, word, words[word], served_until_ns(head), data)


def served_until_ns(head: bytes) -> int:
    """Return `Cached.until_ns` of a session, from its header's bytes."""
    return 0 if head[LIMITS] == NO_LIMITS_BYTES else still_until(*unpack_limits(head)) * NS_PER_MS
