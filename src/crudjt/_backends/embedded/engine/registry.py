"""The engines of this process: one for a directory, however many stores are opened on it.

LMDB must not open a file twice in a process, and one set of background threads is enough.

A store that is collected without having been closed is closed by the next thread that opens one, or by a background
thread: a garbage collection may run while its thread holds any lock, so nothing is closed in it.

Threads are started and joined without a lock. Under gevent both let other greenlets run, and one that waited in the
kernel for a lock of the first would stop them all.
"""

import atexit
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Generator
from pathlib import Path

from crudjt._backends.embedded.engine.background import BackgroundThreads
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.opening import open_engine
from crudjt._backends.embedded.engine.sweep import Reclaimer
from crudjt._core.options import Options
from crudjt._core.process_guard import guard, own_memory, renew
from crudjt._filesystem.platform import system
from crudjt.errors import CrudjtError

logger = logging.getLogger("crudjt")


class SharedEngine:
    """An engine, its background threads, and the options of the stores that share them."""

    def __init__(self, engine: Engine, options: Options) -> None:
        """Prepare for an engine that no store uses yet; `options` are those it was opened with."""
        self.engine = engine
        self.users: list[Options] = []
        self.leaving = 0  # how many last stores wait for the threads to end
        self.background: BackgroundThreads | None = None
        self._opened_with = options
        self._starting = threading.Lock()
        engine.on_revival = self.take_care
        engine.reclaim = Reclaimer(engine, lambda: self.strictest().clock, self._believes)

    def take_care(self) -> None:
        """Start the background threads of this process, or make them read the options again."""
        with self._starting:
            is_new = self.background is None
            threads = self.background = self.background or BackgroundThreads(
                self.engine, self.strictest, release_abandoned
            )
        if is_new:
            threads.start()
        else:
            threads.reconsider()

    def strictest(self) -> Options:
        """Return the options of the store that wants to sync most often."""
        users = self.users.copy()  # another thread may remove the last one just now
        return min(users or [self._opened_with], key=lambda options: options.sync_interval)

    def _believes(self, now_ns: int) -> bool:
        background = self.background
        return background is None or background.believes(now_ns)

    def stop(self) -> None:
        """Stop the background threads, and wait until they have ended."""
        with self._starting:
            background, self.background = self.background, None
        if background is not None:
            background.stop()

    def leave_to_parent(self) -> None:
        """Forget the threads, which only the parent process has."""
        self.background = None
        self.leaving = 0
        self._starting = threading.Lock()


class _Registry:
    """The open engines of this process, and the lock that guards them."""

    def __init__(self) -> None:
        """Start empty."""
        self.shared: dict[tuple[int, int], SharedEngine] = {}
        self.lock = threading.Lock()
        self.releasing = threading.Lock()
        self._held_for_fork = False
        guard(self)

    def known(self, directory: Path) -> SharedEngine | None:
        """Return the engine of a directory, if this process has it open."""
        try:
            return self.shared.get(_identity(directory))
        except OSError:  # opening it says what is wrong
            return None

    def leave_to_parent(self) -> None:
        """Make locks of this process, and forget the threads of the parent."""
        self.lock = threading.Lock()
        self.releasing = threading.Lock()
        self._held_for_fork = False
        for known in self.shared.values():
            known.leave_to_parent()

    def before_fork(self) -> None:
        """Wait until no engine is being opened or closed: its descriptors would leak into the child."""
        if not own_memory[0]:
            renew()
        self.lock.acquire()
        self._held_for_fork = True

    def after_fork(self) -> None:
        """Release the lock in the parent. Some programs run only some of the fork hooks."""
        if self._held_for_fork:
            self._held_for_fork = False
            self.lock.release()


_registry = _Registry()


def acquire(directory: Path, options: Options) -> Engine:
    """Return the engine of a directory, opening it for the first store; pair with `release`."""
    if not own_memory[0]:
        renew()
    release_abandoned()
    with _registry.lock:
        known = _registry.known(directory)
        if known is None:
            known = SharedEngine(open_engine(directory, options), options)
            _registry.shared[_identity(directory)] = known
        known.users.append(options)
    try:
        known.take_care()
    except BaseException:
        release(known.engine, options)
        raise
    return known.engine


def release(engine: Engine, options: Options) -> None:
    """Release a store's share of an engine; the last release closes it."""
    if not own_memory[0]:
        renew()
    with _registry.lock:
        identity, known = next(
            ((identity, known) for identity, known in _registry.shared.items() if known.engine is engine), (None, None)
        )
        if identity is None or known is None:  # closed at exit already
            return
        known.users.remove(options)
        if known.users:
            return
        known.leaving += 1
    known.stop()
    with _registry.lock:
        known.leaving -= 1
        # While the threads ended, other stores may have come, and one of them may be leaving.
        if not known.users and not known.leaving and _registry.shared.pop(identity, None) is known:
            engine.close()


_abandoned: deque[tuple[Engine, Options]] = deque()

abandon = _abandoned.append
"""Queue an engine and the options of a store that was garbage collected. Takes no lock."""


def release_abandoned() -> None:
    """Release what `abandon` noted, unless another thread does it.

    The background threads of two engines that released each other's would wait for each other to end.
    """
    if not _registry.releasing.acquire(blocking=False):
        return
    try:
        while _abandoned:
            _release_or_warn(*_abandoned.popleft())
    finally:
        _registry.releasing.release()


def _release_or_warn(engine: Engine, options: Options) -> None:
    try:
        release(engine, options)
    except CrudjtError as error:
        # As text: a handler that keeps its records would keep the engine, in a frame of the traceback.
        logger.warning("a store that was not closed could not be closed: %s", str(error))


@contextlib.contextmanager
def borrowed(directory: Path) -> Generator[Engine | None]:
    """Keep this process's engine of a directory open for a block; if it has none, prevent it from opening one."""
    if not own_memory[0]:
        renew()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_registry.lock)
        known = _registry.known(directory)
        if known is None:
            yield None
            return
        options = known.strictest()
        known.users.append(options)
        stack.close()
        try:
            yield known.engine
        finally:
            release(known.engine, options)


def _identity(directory: Path) -> tuple[int, int]:
    status = directory.stat()
    return status.st_dev, status.st_ino


def _close_all() -> None:
    if not own_memory[0]:
        renew()
    with _registry.lock:
        every = list(_registry.shared.values())
        _registry.shared.clear()
    for known in every:
        known.stop()
        with _registry.lock, contextlib.suppress(CrudjtError):
            known.engine.close()


atexit.register(_close_all)
# What a child has to do, it does at the first use of a store, however it was forked: see process_guard.
system.at_fork(before=_registry.before_fork, after_in_parent=_registry.after_fork)
