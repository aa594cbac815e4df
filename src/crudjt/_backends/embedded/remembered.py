"""Updates and rotations that leave what they wrote in the read cache, for the next request of the same browser.

Each is a `Decision` whose result holds the entry to be kept once the commit has succeeded. Such an entry is noted with
the value that the word of its session has from this transaction on: for an update the transaction's id. A new id has
had no change, so the word is noted as it is under the write lock: only a later transaction changes that session, and
it has a higher id. Where another change came between commit and note, the entry is a miss, never a stale hit.

Only calls with data and `if_version`, or with a subject, come here: they are a request that has read the session, and
expects the next one. Other writes stay as short as they can be.
"""

from collections.abc import Callable, Sequence
from typing import Any

from crudjt._backends.embedded.engine.control_block import cache_word
from crudjt._backends.embedded.read_cache import Cached
from crudjt._core.changes import Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.details import NO_NEW_DETAILS, Details, NewDetails
from crudjt._core.header import HEADER_BYTES, LIMITS, NO_LIMITS_BYTES, Header, unpack_header
from crudjt._core.validation import KEEP, KeepType, NewLimits


def change(
    transaction: Any,
    decide: Callable[..., tuple[Any, Sequence[Change]]],
    token: str,
    known: Cached | None,
    packed: bytes,
    limits: NewLimits,
    if_version: int,
    now_ms: int,
) -> tuple[bool | Cached, Sequence[Change]]:
    """Change a session as `Sessions.change`, which decides.

    The result is the entry to keep where the session was in the cache.
    """
    in_cache = known is not None and known.words[known.word] == known.noted
    changed, changes = decide(transaction, token, known, packed, limits, if_version, now_ms)
    if not changed or not in_cache or known is None:
        return changed, changes
    _, id_, record = changes[0]
    about = known.subject, known.details, known.key, known.words, known.word
    entry = _entry(id_, record, *about, transaction.id(), packed, now_ms)
    return entry or True, changes


def rotate(
    transaction: Any,
    decide: Callable[..., tuple[Any, Sequence[Change]]],
    token: str,
    known: Cached | None,
    now_ns: int,
    packed: bytes | None,
    subject: str | KeepType | None,
    limits: NewLimits,
    if_version: int | None,
    details: NewDetails,
) -> tuple[tuple[str | None, Cached | None], Sequence[Change]]:
    """Rotate a session as `Sessions.rotate`, which decides.

    The result is the new token, and the entry to keep where the session was in the cache.
    """
    in_cache = known is not None and known.words[known.word] == known.noted
    new, changes = decide(transaction, token, known, now_ns, packed, subject, limits, if_version, details)
    if new is None or not in_cache or known is None or details is not NO_NEW_DETAILS:
        return (new, None), changes
    _, id_, record = changes[1]
    owner = known.subject if subject is KEEP else subject
    words, word = known.words, cache_word(id_)
    data = known.packed if packed is None else packed
    return (
        new,
        _entry(id_, record, owner, known.details, 0, words, word, words[word], data, now_ns // NS_PER_MS),
    ), changes


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
    """Return the entry of a session that is about to be written; ``None`` if each read of it has to write."""
    head = record[:HEADER_BYTES]
    until = 0
    if head[LIMITS] != NO_LIMITS_BYTES:
        header = Header(*unpack_header(head))
        until = header.still_until()
        if header.reads_left or 0 < until <= now_ms:
            return None
    return Cached(id_, head, subject, details, key, words, word, noted, until * NS_PER_MS, packed)
