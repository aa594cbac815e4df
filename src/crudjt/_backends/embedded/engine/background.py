"""The background threads of an open store: one syncs, one sweeps, compacts and frees reader slots of dead processes.

Every process with the store open has them, and each works for all processes: changes of a killed process are synced by
the others. There are two threads, since a sweep or a compaction may take minutes, and a sync must not wait for it.
"""

import logging
import threading
import time
from collections.abc import Callable

from crudjt._backends.embedded.engine import compaction, sweep
from crudjt._backends.embedded.engine.control_block import (
    WORD_SWEPT_AT,
    WORD_SYNCED_SEQUENCE,
)
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._core.clock import NS_PER_MS
from crudjt._core.options import Options
from crudjt.errors import StoreClosed, StoreError, StoreFailed

_READER_CHECK_SECONDS = 10.0
_RETRY_SECONDS = 60.0
_JOIN_SECONDS = 30.0

logger = logging.getLogger("crudjt")


class _Stopped(Exception):
    """Ends a round early, and the thread with it."""


class _Rounds:
    """A thread that runs a round every `interval()` seconds."""

    def __init__(self, name: str, make_round: Callable[[], None], interval: Callable[[], float]) -> None:
        """Prepare; nothing runs before `start`."""
        self._make_round = make_round
        self._interval = interval
        self._stopping = threading.Event()
        self._waking = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.start = self._thread.start
        self.wake = self._waking.set

    def ask_to_stop(self) -> None:
        """Request the end of the thread."""
        self._stopping.set()
        self._waking.set()

    def join(self) -> None:
        """Wait for the end of the thread, which finishes its current step."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def pause(self, seconds: float) -> None:
        """Wait within a round; raise `_Stopped` if the thread should end."""
        if self._stopping.wait(seconds):
            raise _Stopped

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                if self._waking.wait(self._interval()):
                    self._waking.clear()
                else:
                    self._make_round()
        except _Stopped:
            pass
        except (StoreClosed, StoreFailed) as error:
            # Every call raises the same error from now on; a trace would add nothing.
            logger.error("%s stops: %s", self._thread.name, error)  # noqa: TRY400


class BackgroundThreads:
    """The threads of one engine; `options` returns the current options of its stores."""

    def __init__(self, engine: Engine, options: Callable[[], Options]) -> None:
        """Prepare; nothing runs before `start`."""

        def interval() -> float:
            return options().sync_interval

        self._engine = engine
        self._options = options
        self._upkeep = _Rounds("crudjt-upkeep", self._look_after, interval)
        self._threads = (_Rounds("crudjt-sync", self._sync, interval), self._upkeep)
        self._next_reader_check = 0.0
        self._not_before = 0.0

    def start(self) -> None:
        """Start the threads. An empty store needs no sweep."""
        if not self._engine.log_end().sessions:
            self._engine.words[WORD_SWEPT_AT] = self._options().clock() // NS_PER_MS
        for thread in self._threads:
            thread.start()

    def reconsider(self) -> None:
        """Read the options again, which may have shorter intervals now."""
        for thread in self._threads:
            thread.wake()

    def stop(self) -> None:
        """Wait for the end of the threads. A running sync or compaction finishes, a sweep does not."""
        for thread in self._threads:
            thread.ask_to_stop()
        for thread in self._threads:
            thread.join()

    def _sync(self) -> None:
        """Sync; if this process cannot, for instance without a free descriptor, the next round tries again."""
        try:
            sequence = self._engine.log_end().sequence
            if self._engine.words[WORD_SYNCED_SEQUENCE] < sequence:
                self._engine.sync_to(sequence)
        except StoreError as error:
            self._raise_if_final(error)
            logger.warning("a sync of %s is postponed: %s", self._engine.directory, error)

    def _look_after(self) -> None:
        engine, options = self._engine, self._options()
        now_ms = options.clock() // NS_PER_MS
        seconds = time.monotonic()
        if seconds >= self._next_reader_check:
            engine.view.clear_dead_readers()
            self._next_reader_check = seconds + _READER_CHECK_SECONDS
        if seconds < self._not_before:
            return
        try:
            if now_ms - engine.words[WORD_SWEPT_AT] >= options.sweep_interval * 1000:
                sweep.sweep(engine, options.clock, self._upkeep.pause)
            if compaction.compaction_is_due(engine):
                compaction.compact(engine, now_ms)
        except StoreError as error:
            self._raise_if_final(error)
            self._not_before = seconds + _RETRY_SECONDS
            logger.warning("maintenance of %s is postponed by %.0f s: %s", engine.directory, _RETRY_SECONDS, error)

    def _raise_if_final(self, error: StoreError) -> None:
        if isinstance(error, StoreClosed) or self._engine.control.failed:
            raise error
