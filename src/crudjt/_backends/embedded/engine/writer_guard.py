"""A guard of the write lock where LMDB's outlives its owner: on macOS, and under emulation by qemu-user.

There a process that is killed in a write transaction leaves the lock locked, and every other writer would wait for
ever. So a lock of the kernel, which ends with its owner, is held around each transaction, and a word of the control
block says that a process is inside. A writer that gets the lock and finds the word set knows that the last owner has
died, and stops every process. The first to open the store after all have closed it makes the view again from the log,
with a new lock.
"""

import os
import threading
from collections.abc import Callable
from types import TracebackType

from crudjt._backends.embedded.engine.control_block import WORD_WRITING
from crudjt._filesystem.platform import system


class WriterGuard:
    """The lock between the threads of a process, and a lock between processes that ends with its owner."""

    def __init__(
        self, threads: threading.Lock, descriptor: int, words: "memoryview[int]", died: Callable[[], None]
    ) -> None:
        """Guard by the lock of a file, and of this process's threads; `died` is called if a writer did, and raises."""
        self._threads = threads
        self._descriptor = descriptor
        self._words = words
        self._died = died

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            system.lock_for_process(self._descriptor)
            try:
                if self._words[WORD_WRITING]:
                    self._died()
                self._words[WORD_WRITING] = os.getpid()
            except BaseException:
                system.unlock_for_process(self._descriptor)
                raise
        except BaseException:
            self._threads.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._words[WORD_WRITING] = 0
        system.unlock_for_process(self._descriptor)
        self._threads.release()
