"""Remove expired sessions, in small transactions."""

import time
from collections.abc import Callable

from crudjt._backends.embedded.engine import control_block
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.maintenance_lock import exclusively
from crudjt._core.changes import DELETE, SESSION, Change, Reader
from crudjt._core.clock import (
    NS_PER_MS,
    Clock,
)
from crudjt._core.record import (
    MIN_RECORD_BYTES,
    RECORD_FORMAT,
    has_expired,
)

_SWEEP_BATCH = 64  # read in one transaction: while it lasts, writers must leave the pages alone that others free


_PAUSES = 20  # times the duration of the work


def sweep(engine: Engine, clock: Clock, pause: Callable[[float], None] = lambda _seconds: None) -> int:
    """Remove expired sessions, in small transactions; return how many.

    Returns 0 at once where another process is at it. After each batch, `pause` is called with the seconds to wait so
    that the sweep takes a twentieth of a processor, for the sake of others; what it raises ends the sweep.
    """
    with exclusively(engine) as alone:
        if not alone:
            return 0
        removed = 0
        start = SESSION
        began = time.perf_counter()
        while items := engine.scan(SESSION, start, _SWEEP_BATCH):
            now_ms = clock() // NS_PER_MS
            expired = [key for key, record in items if _expired(record, now_ms)]
            if expired:
                removed += engine.write(_remove_expired, (expired, now_ms))
            start = items[-1][0] + b"\x00"
            pause((time.perf_counter() - began) * _PAUSES)
            began = time.perf_counter()
        engine.words[control_block.WORD_SWEPT_AT] = clock() // NS_PER_MS
        return removed


def _expired(record: bytes, now_ms: int) -> bool:
    return len(record) >= MIN_RECORD_BYTES and record[0] == RECORD_FORMAT and has_expired(record, now_ms)


def _remove_expired(view: Reader, keys: list[bytes], now_ms: int) -> tuple[int, list[Change]]:
    changes: list[Change] = []
    for key in keys:
        record = view.get(key)
        if record is not None and _expired(record, now_ms):
            changes.append((DELETE, key[len(SESSION) :], record))
    return len(changes), changes
