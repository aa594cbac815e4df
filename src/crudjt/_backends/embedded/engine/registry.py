"""The engines of this process: one for a directory, however many stores are opened on it.

LMDB must not open a file twice in a process, and one caretaker is enough. The fork hooks live here too.
"""

import atexit
import contextlib
import os
import threading
from collections.abc import Generator
from pathlib import Path

from crudjt._backends.embedded.engine.background import Caretaker
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.opening import open_engine
from crudjt._core.options import Options
from crudjt.errors import CrudjtError

_lock = threading.Lock()
_shared: dict[tuple[int, int], "SharedEngine"] = {}


class SharedEngine:
    """An engine, its caretaker, and the options of the stores that share them."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine that nobody uses yet."""
        self.engine = engine
        self.users: list[Options] = []
        self.caretaker: Caretaker | None = None
        engine.on_revival = self.take_care

    def take_care(self) -> None:
        """Start a caretaker for this process."""
        self.caretaker = Caretaker(self.engine, self.strictest)
        self.caretaker.start()

    def strictest(self) -> Options:
        """Return the options of the store that wants to sync most often."""
        return min(self.users, key=lambda options: options.sync_interval)

    def close(self) -> None:
        """End the caretaker, sync, and close."""
        if self.caretaker is not None:
            self.caretaker.stop()
        self.engine.close()


def acquire(directory: Path, options: Options) -> Engine:
    """Return the engine of a directory, opening it for the first store; pair with `release`."""
    with _lock:
        known = _known(directory)
        if known is None:
            known = SharedEngine(open_engine(directory, options.max_size))
            _shared[_identity(directory)] = known
        known.users.append(options)
        if known.caretaker is not None:
            known.caretaker.reconsider()
        elif len(known.users) == 1:
            known.take_care()
        return known.engine


def release(engine: Engine, options: Options) -> None:
    """Give an engine up; the last store closes it."""
    with _lock:
        identity = next((identity for identity, known in _shared.items() if known.engine is engine), None)
        if identity is None:  # closed at exit already
            return
        known = _shared[identity]
        if len(known.users) > 1:
            known.users.remove(options)
        else:
            del _shared[identity]
            known.close()


def _known(directory: Path) -> "SharedEngine | None":
    try:
        return _shared.get(_identity(directory))
    except OSError:  # opening it says what is wrong
        return None


@contextlib.contextmanager
def borrowed(directory: Path) -> Generator[Engine | None]:
    """Keep this process's engine of a directory open for a block; where it has none, keep it from opening one."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_lock)
        known = _known(directory)
        if known is None:
            yield None
            return
        options = known.users[0]
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
    with _lock:
        for known in _shared.values():
            with contextlib.suppress(CrudjtError):
                known.close()
        _shared.clear()


def _abandon_all() -> None:
    """In a forked child: the parent's threads and open trees stay behind."""
    for known in _shared.values():
        known.caretaker = None
        known.engine.abandon()
    _lock.release()


atexit.register(_close_all)
# No engine is half opened or half closed in the moment of a fork.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_abandon_all)
