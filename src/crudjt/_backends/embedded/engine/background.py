"""The background threads of an open store: one syncs, one sweeps, compacts and frees reader slots of dead processes.

Every process that has the store open runs both, on behalf of all processes: the changes of a killed process are synced
by another. There are two, since a sweep or a compaction may take minutes, and a sync must not wait for it.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable

from crudjt._backends.embedded.engine import compaction
from crudjt._backends.embedded.engine.control_block import WORD_SWEPT_AT, WORD_SYNCED_AT, WORD_SYNCED_SEQUENCE
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.lmdb_format import DATA_FILE
from crudjt._backends.embedded.engine.own_maps import map_ahead
from crudjt._backends.embedded.engine.sweep import Reclaimer, sweep
from crudjt._core.clock import NS_PER_MS
from crudjt._core.options import Options
from crudjt._filesystem import host
from crudjt.errors import StoreClosed, StoreError, StoreFailed

_READER_CHECK_SECONDS = 10.0
_RETRY_SECONDS = 60.0
_SETTLE_SECONDS = 0.1  # that a thread sleeps first
_START_SECONDS = 1.0  # that a start waits for that at most
_JOIN_SECONDS = 30.0
_LATE_SECONDS = 5.0  # beyond the interval, after which the threads count as not running
_CLOCK_MOVED_NS = 60 * 10**9  # between two rounds
_NO_THREADS = (
    "%s: the background threads do not run, so writes sync, sweep and compact, and what was written last is not synced "
    "before the next write; let the program run Python threads (uWSGI: --enable-threads)"
)
_STEADY_ROUNDS = 3  # without such a move, after one, before the clock is believed again

logger = logging.getLogger("crudjt")


class _Stopped(Exception):
    """Ends a round early, and the thread with it."""


class _ClockMoved(Exception):
    """Ends a sweep during which the clock was set."""


class _Rounds:
    """A thread that runs a round every `interval()` seconds, and `first` before them.

    It begins by sleeping for a moment, and it sleeps when `start` returns: programs that load an application and then
    fork without Python's hooks, as uWSGI, often do so right after. CPython hangs in the child if a thread was asking
    for the GIL.
    """

    def __init__(
        self,
        name: str,
        make_round: Callable[[], None],
        interval: Callable[[], float],
        first: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; nothing runs before `start`."""
        self._first = first
        self._make_round = make_round
        self._interval = interval
        self._stopping = threading.Event()
        self._waking = threading.Event()
        self._sleeps = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.wake = self._waking.set

    def start(self) -> None:
        """Start the thread, and return when it sleeps."""
        self._thread.start()
        self._sleeps.wait(_START_SECONDS)

    def ask_to_stop(self) -> None:
        """Ask the thread to stop."""
        self._stopping.set()
        self._waking.set()

    def join(self) -> None:
        """Wait until the thread has finished its current step and ended.

        One that has ended by itself is joined too. CPython from 3.13 on detaches a thread that was not when its object
        is collected, and crashes if that happens in the child of a fork without Python's hooks.
        """
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def pause(self, seconds: float) -> None:
        """Wait within a round; raise `_Stopped` if the thread should end."""
        if self._stopping.wait(seconds):
            raise _Stopped

    def _run(self) -> None:
        try:
            self._sleeps.set()  # whoever waits for that gets the GIL in the next line
            self._waking.wait(min(self._interval(), _SETTLE_SECONDS))
            self.pause(0)
            self._first()
            while not self._stopping.is_set():
                if self._waking.wait(self._interval()):
                    self._waking.clear()
                else:
                    self._make_round()
        except _Stopped:
            pass
        except (StoreClosed, StoreFailed) as error:
            # Every later call raises the same error; a traceback would add nothing.
            logger.error("%s stops: %s", self._thread.name, str(error))  # noqa: TRY400


class _ClockWatch:
    """Detects that the store's clock was set, by comparing it with one that cannot be set.

    With a clock that is briefly wrong, a sweep would remove sessions that are alive.
    """

    def __init__(self) -> None:
        """Trust the clock as it is."""
        self._offset: int | None = None
        self._steady_rounds = _STEADY_ROUNDS

    def steady(self, now_ns: int) -> bool:
        """Begin a round; return False for some rounds after the clock was set."""
        offset = now_ns - host.boot_clock_ns()
        self._steady_rounds = 0 if self._moved_to(offset) else self._steady_rounds + 1
        self._offset = offset
        return self._steady_rounds >= _STEADY_ROUNDS

    def is_steady(self, now_ns: int) -> bool:
        """Return whether the clock was set neither in the last rounds nor since."""
        offset = now_ns - host.boot_clock_ns()
        return self._steady_rounds >= _STEADY_ROUNDS and not self._moved_to(offset)

    def _moved_to(self, offset: int) -> bool:
        return self._offset is not None and abs(offset - self._offset) > _CLOCK_MOVED_NS


class BackgroundThreads:
    """The threads of one engine.

    Attributes:
        believes: tells of a time by the store's clock whether sessions may be removed by it.

    """

    def __init__(self, engine: Engine, options: Callable[[], Options], release_abandoned: Callable[[], None]) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            engine: the engine.
            options: returns the strictest options of its stores.
            release_abandoned: closes stores that were collected, maybe the last one of this engine.

        """

        def interval() -> float:
            return options().sync_interval

        self._engine = engine
        self._options = options
        self._release_abandoned = release_abandoned
        self._upkeep = _Rounds("crudjt-upkeep", self._upkeep_round, interval, self._map_view)
        self._threads = (_Rounds("crudjt-sync", self._sync, interval), self._upkeep)
        self._clock_watch = _ClockWatch()
        self._next_reader_check = 0.0
        self._not_before = 0.0
        # Whether threads run at all: a sync that lasts long counts as a round that has begun.
        self._round_began = time.monotonic()
        self._in_round = False
        self._without_threads = _uwsgi_runs_no_threads()
        self._by_writes = threading.Lock()
        self._next_by_write = 0.0
        self._warned = False
        self._sweeping = Reclaimer(engine, lambda: options().clock)
        self.believes = self._clock_watch.is_steady

    def start(self) -> None:
        """Start the threads. An empty store counts as swept."""
        if not self._engine.log_end().sessions:
            self._engine.words[WORD_SWEPT_AT] = self._options().clock() // NS_PER_MS
        self._engine.upkeep = self._look_after_in_write
        self._engine.unattended = self._without_threads
        if not self._without_threads:
            for thread in self._threads:
                thread.start()

    def reconsider(self) -> None:
        """Read the options again, since their intervals may be shorter now."""
        for thread in self._threads:
            thread.wake()

    def stop(self) -> None:
        """Stop the threads and wait for them. A sync or a compaction is completed, a sweep is cut short."""
        self._engine.unattended = False
        for thread in self._threads:
            thread.ask_to_stop()
        for thread in self._threads:
            thread.join()

    def _look_after_in_write(self, sequence: int) -> None:
        """Do the work that is due after the write `sequence`, unless the background threads are running."""
        interval, seconds = self._options().sync_interval, time.monotonic()
        if not self._without_threads and (self._in_round or seconds < self._round_began + interval + _LATE_SECONDS):
            self._engine.unattended = False
            return
        since_sync = time.time_ns() // NS_PER_MS - self._engine.words[WORD_SYNCED_AT]
        if 0 <= since_sync < interval * 1000 and seconds < self._next_by_write:
            return
        if not self._by_writes.acquire(blocking=False):  # another thread does it, or this very work is what writes
            return
        try:
            if not self._warned:
                self._warned = True
                logger.warning(_NO_THREADS, self._engine.directory)
            self._next_by_write = seconds + interval
            self._sync_to(sequence)
            self._look_after(in_write=True)
        finally:
            self._by_writes.release()

    def _sync(self) -> None:
        self._round_began, self._in_round = time.monotonic(), True
        try:
            self._sync_to(None)
        finally:
            self._in_round = False

    def _sync_to(self, sequence: int | None) -> None:
        """Sync up to an entry, or all; where this process cannot, for want of a descriptor, say, put it off."""
        try:
            self._engine.check_files()
            sequence = self._engine.log_end().sequence if sequence is None else sequence
            if self._engine.words[WORD_SYNCED_SEQUENCE] < sequence:
                self._engine.sync_to(sequence)
        except StoreError as error:
            self._raise_if_final(error)
            logger.warning("a sync of %s is postponed: %s", self._engine.directory, str(error))

    def _map_view(self) -> None:
        """Map the pages of the view, which saves later calls their page faults, and see where its lock is."""
        self._engine.write_lock.prepare()
        view = self._engine.view
        used = (int(view.env.info()["last_pgno"]) + 1) * view.page_bytes
        map_ahead(view.directory / DATA_FILE, used, lambda: self._upkeep.pause(0))

    def _upkeep_round(self) -> None:
        self._release_abandoned()
        self._upkeep.pause(0)  # ends the thread if that closed its engine
        self._look_after()

    def _look_after(self, *, in_write: bool = False) -> None:
        engine, options = self._engine, self._options()
        now_ns = options.clock()
        seconds = time.monotonic()
        if seconds >= self._next_reader_check:
            engine.view.clear_dead_readers()
            self._next_reader_check = seconds + _READER_CHECK_SECONDS
        steady = self._clock_watch.steady(now_ns)
        if seconds < self._not_before:
            return
        try:
            # A time of the last sweep that lies ahead was written by a clock that was wrong.
            since_sweep = now_ns // NS_PER_MS - engine.words[WORD_SWEPT_AT]
            if steady and not 0 <= since_sweep < options.sweep_interval * 1000:
                if not in_write:
                    sweep(engine, options.clock, self._pause)
                elif self._sweeping.step():
                    engine.words[WORD_SWEPT_AT] = now_ns // NS_PER_MS
            if compaction.compaction_is_due(engine):
                compaction.compact(engine, now_ns // NS_PER_MS)
        except _ClockMoved:
            pass
        except StoreError as error:
            self._raise_if_final(error)
            self._not_before = seconds + _RETRY_SECONDS
            logger.warning("maintenance of %s is postponed by %.0f s: %s", engine.directory, _RETRY_SECONDS, str(error))

    def _pause(self, seconds: float) -> None:
        """Wait between two batches of a sweep; raise `_ClockMoved` if the clock was set."""
        self._upkeep.pause(seconds)
        if not self._clock_watch.steady(self._options().clock()):
            raise _ClockMoved

    def _raise_if_final(self, error: StoreError) -> None:
        if isinstance(error, StoreClosed) or self._engine.control.failed:
            raise error


def _uwsgi_runs_no_threads() -> bool:
    """Tell whether this process belongs to a uWSGI that runs no Python threads but during requests.

    There a thread could stop within a transaction until the next request, and every writer with it.
    """
    uwsgi = sys.modules.get("uwsgi")
    return uwsgi is not None and not getattr(uwsgi, "has_threads", 1)
