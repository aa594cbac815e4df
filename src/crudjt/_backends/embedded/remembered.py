"""Updates and rotations that leave what they wrote in the read cache, for the next request of the same browser.

Such an entry is noted with the value that the word of its session has from its transaction on: for an update the
transaction's id. A new id has had no change, so its word is noted as it was before the transaction: only a later one
changes that session, and it has a higher id. Where another change comes between commit and note, the entry is a miss,
never a stale hit.

Only calls with data and `if_version`, or with a subject, come here: they are a request that has read the session, and
expects the next one. Other writes stay as short as they can be.
"""

from crudjt._backends.embedded.engine.control_block import cache_word
from crudjt._backends.embedded.read_cache import Cached
from crudjt._core.changes import Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.details import Details
from crudjt._core.header import HEADER_BYTES, LIMITS, NO_LIMITS_BYTES, Header, unpack_header
from crudjt._core.validation import KEEP, KeepType


def changed(known: Cached, change: Change, packed: bytes, number: int, now_ms: int) -> Cached | None:
    """Return the entry of a session that transaction `number` has changed; ``None`` if each read of it has to write."""
    _, id_, record = change
    about = known.subject, known.details, known.key, known.words, known.word
    return _entry(id_, record, *about, number, packed, now_ms)


def rotated(
    known: Cached, change: Change, subject: str | KeepType | None, packed: bytes | None, now_ms: int
) -> Cached | None:
    """Return the entry of a session that is about to be moved; ``None`` if each read of it has to write."""
    _, id_, record = change
    owner = known.subject if subject is KEEP else subject
    words, word = known.words, cache_word(id_)
    data = known.packed if packed is None else packed
    return _entry(id_, record, owner, known.details, 0, words, word, words[word], data, now_ms)


def _entry(
    id_: bytes,
    record: bytes,
    subject: str | None,
    details: Details | None,
    key: int,
    words: memoryview,
    word: int,
    noted: int,
    packed: bytes,
    now_ms: int,
) -> Cached | None:
    head = record[:HEADER_BYTES]
    until = 0
    if head[LIMITS] != NO_LIMITS_BYTES:
        header = Header(*unpack_header(head))
        until = header.still_until()
        if header.reads_left or 0 < until <= now_ms:
            return None
    return Cached(id_, head, subject, details, key, words, word, noted, until * NS_PER_MS, packed)
