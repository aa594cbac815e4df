"""The background thread of an open store: it syncs, sweeps, compacts, and frees the reader slots of dead processes.

Every process with the store open has one, and each does the work of all: what a killed process left unsynced, the
others sync.
"""

import logging
import threading
import time
from collections.abc import Callable

from crudjt.clock import NS_PER_MS
from crudjt.engine import maintenance
from crudjt.engine.control import WORD_SWEPT_AT, WORD_SYNCED_SEQUENCE
from crudjt.engine.engine import Engine
from crudjt.errors import StoreClosed, StoreError, StoreFailed
from crudjt.options import Options

_READER_CHECK_SECONDS = 10.0
_RETRY_SECONDS = 60.0
_SWEEP_PAUSE_SECONDS = 0.001
_JOIN_SECONDS = 30.0

logger = logging.getLogger("crudjt")


class Caretaker:
    """The thread of one engine; `options` says what its stores ask for now."""

    def __init__(self, engine: Engine, options: Callable[[], Options]) -> None:
        """Prepare; nothing runs before `start`."""
        self._engine = engine
        self._options = options
        self._stopping = False
        self._waking = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crudjt-caretaker", daemon=True)
        self._next_reader_check = 0.0
        self._not_before = 0.0

    def start(self) -> None:
        """Begin to take care."""
        self._thread.start()

    def reconsider(self) -> None:
        """Look at the options again, which may ask for shorter intervals now."""
        self._waking.set()

    def stop(self) -> None:
        """Return when the thread has ended; what it is at, it finishes."""
        self._stopping = True
        self._waking.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        try:
            while not self._stopping:
                if self._waking.wait(self._options().sync_interval):
                    self._waking.clear()
                else:
                    self._round()
        except (StoreClosed, StoreFailed) as error:
            # Every call of the store says the same from now on; a trace would add nothing.
            logger.error("the caretaker of %s stops: %s", self._engine.directory, error)  # noqa: TRY400

    def _round(self) -> None:
        engine, options = self._engine, self._options()
        now_ms = options.clock() // NS_PER_MS
        end = engine.log_end()
        if engine.words[WORD_SYNCED_SEQUENCE] < end.sequence:
            self._sync(end.sequence)
        seconds = time.monotonic()
        if seconds >= self._next_reader_check:
            engine.view.clear_dead_readers()
            self._next_reader_check = seconds + _READER_CHECK_SECONDS
        if seconds < self._not_before:
            return
        try:
            if now_ms - engine.words[WORD_SWEPT_AT] >= options.sweep_interval * 1000:
                maintenance.sweep(engine, options.clock, _SWEEP_PAUSE_SECONDS)
            if maintenance.compaction_is_due(engine):
                maintenance.compact(engine, now_ms)
        except StoreError as error:
            self._raise_if_final(error)
            self._not_before = seconds + _RETRY_SECONDS
            logger.warning("maintenance of %s is put off by %.0f s: %s", engine.directory, _RETRY_SECONDS, error)

    def _sync(self, sequence: int) -> None:
        """Sync; where this process cannot, for want of a descriptor, say, the next round tries again."""
        try:
            self._engine.sync_to(sequence)
        except StoreError as error:
            self._raise_if_final(error)
            logger.warning("a sync of %s is put off: %s", self._engine.directory, error)

    def _raise_if_final(self, error: StoreError) -> None:
        if isinstance(error, StoreClosed) or self._engine.control.failed:
            raise error
