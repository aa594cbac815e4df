"""Remove expired sessions, in small transactions."""

import logging
import time
from collections.abc import Callable

from crudjt._backends.embedded.engine import compaction, control_block
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.maintenance_lock import exclusively
from crudjt._core.changes import DELETE, SESSION, Change, Reader
from crudjt._core.clock import NS_PER_MS, Clock
from crudjt._core.header import RECORD_FORMAT, has_expired
from crudjt._core.moves import STAGE_FORMAT
from crudjt._core.record import MIN_RECORD_BYTES
from crudjt.errors import StoreFull

_SWEEP_BATCH = 64  # read in one transaction: while it lasts, writers must leave the pages alone that others free
_PAUSES = 20  # seconds of waiting for each second of work
_LONGEST_PAUSE_SECONDS = 0.25
_RECLAIM_SESSIONS = 256  # enough that the next creates need not look again
_RECLAIM_SECONDS = 0.05  # of processor time, for a write that is refused otherwise
_RECLAIM_AGAIN_NS = 10**9  # after a look at every session that found none to remove

_EXPIRING = (RECORD_FORMAT, STAGE_FORMAT)  # a mark is removed when its session has been published

logger = logging.getLogger("crudjt")


def sweep(
    engine: Engine,
    clock: Clock,
    pause: Callable[[float], None] = lambda _seconds: None,
    looked_at: Callable[[int], object] = lambda _sessions: None,
) -> int:
    """Remove expired sessions, in small transactions; return how many.

    Returns 0 at once where another process is at it. After each batch, a compaction that is due is made, and `pause` is
    called with the seconds to wait so that the sweep takes a twentieth of a processor; what it raises ends the sweep.
    `looked_at` is called with the number of sessions in the batch.
    """
    with exclusively(engine) as alone:
        if not alone:
            return 0
        removed = 0
        compacts = True
        start = SESSION
        began = time.thread_time()
        while items := engine.scan(SESSION, start, _SWEEP_BATCH, moving=True):
            removed += _remove(engine, items, clock() // NS_PER_MS)
            start = items[-1][0] + b"\x00"
            looked_at(len(items))
            # What the thread worked, not what it waited for the interpreter: a busy process must not stop the sweep.
            worked = time.thread_time() - began
            if compacts and compaction.compaction_is_due(engine):
                compacts = _compact(engine, clock)
            pause(min(worked * _PAUSES, _LONGEST_PAUSE_SECONDS))
            began = time.thread_time()
        engine.words[control_block.WORD_SWEPT_AT] = clock() // NS_PER_MS
        return removed


def _compact(engine: Engine, clock: Clock) -> bool:
    """Compact within a sweep; return False where there is no room, so that the sweep does not try at each batch."""
    try:
        compaction.compact_alone(engine, clock() // NS_PER_MS)
    except StoreFull as error:
        logger.warning("a compaction of %s is postponed until the sweep has ended: %s", engine.directory, str(error))
        return False
    return True


class Reclaimer:
    """Removes expired sessions from a store that has reached max_size, before a write is refused.

    A call works for some milliseconds and goes on where the call before it stopped.
    """

    def __init__(
        self, engine: Engine, clock: Callable[[], Clock], believes: Callable[[int], bool] = lambda _now_ns: True
    ) -> None:
        """Take what returns the clock of the store, and what tells whether a time by it is to be believed."""
        self._engine = engine
        self._clock = clock
        self._believes = believes
        self._next = SESSION
        self._found = True  # whether this pass over all sessions has removed any
        self._not_before_ns = 0

    def __call__(self) -> bool:
        """Return whether any session was removed."""
        now_ns = self._clock()()
        if 0 < self._not_before_ns - now_ns <= _RECLAIM_AGAIN_NS or not self._believes(now_ns):
            return False
        removed, until = 0, time.thread_time() + _RECLAIM_SECONDS
        while removed < _RECLAIM_SESSIONS:
            gone, at_end = self._look(now_ns)
            removed += gone
            if at_end:
                if not self._found:
                    self._not_before_ns = now_ns + _RECLAIM_AGAIN_NS
                    break
                self._found = False
            if time.thread_time() > until:
                break
        return removed > 0

    def step(self) -> bool:
        """Sweep for some milliseconds; return whether that was the end of a pass over all sessions."""
        now_ns, until = self._clock()(), time.thread_time() + _RECLAIM_SECONDS
        while time.thread_time() < until:
            if self._look(now_ns)[1]:
                return True
        return False

    def _look(self, now_ns: int) -> tuple[int, bool]:
        """Return how many of the next sessions were removed, and whether there were none to look at."""
        items = self._engine.scan(SESSION, self._next, _SWEEP_BATCH, moving=True)
        if not items:
            self._next = SESSION
            return 0, True
        self._next = items[-1][0] + b"\x00"
        gone = _remove(self._engine, items, now_ns // NS_PER_MS)
        self._found |= gone > 0
        return gone, False


def _remove(engine: Engine, items: list[tuple[bytes, bytes]], now_ms: int) -> int:
    """Remove those of some sessions that have expired; return how many went."""
    expired = [key for key, record in items if _expired(record, now_ms)]
    return engine.write(_remove_expired, (expired, now_ms), urgent=False, moving=True) if expired else 0


def _expired(record: bytes, now_ms: int) -> bool:
    return len(record) >= MIN_RECORD_BYTES and record[0] in _EXPIRING and has_expired(record, now_ms)


def _remove_expired(view: Reader, keys: list[bytes], now_ms: int) -> tuple[int, list[Change]]:
    changes: list[Change] = []
    for key in keys:
        record = view.get(key)
        if record is not None and _expired(record, now_ms):
            changes.append((DELETE, key[len(SESSION) :], record))
    return len(changes), changes
