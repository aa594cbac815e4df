"""An open store directory with its log, the sync of it to disk, and the locks that writers take."""

import os
import threading
from pathlib import Path

from crudjt import _filesystem
from crudjt._backends.embedded.engine import control_block, manifest
from crudjt._backends.embedded.engine.control_block import WORD_SYNCING
from crudjt._backends.embedded.engine.layout import WRITER_LOCK_FILE
from crudjt._backends.embedded.engine.log import LiveLog
from crudjt._backends.embedded.engine.open_files import OpenFiles
from crudjt._backends.embedded.engine.reader import OpenDirectory
from crudjt._backends.embedded.engine.view import LMDB_LOCK_FILE, ViewError
from crudjt._backends.embedded.engine.write_lock import WriteLock
from crudjt._backends.embedded.engine.writer_guard import WriterGuard
from crudjt._core.process_guard import own_memory, renew
from crudjt._filesystem import host

# Reasons of a failure after which nothing is left to sync, or the next opening does it.
_NO_SYNC = {control_block.DISK_FAILED, control_block.WRITER_DIED}


class LiveDirectory(OpenDirectory):
    """The part of an `Engine` that write transactions stand on."""

    def __init__(self, directory: Path, lock: int, ready: manifest.Manifest) -> None:
        """Open the parts of a store that is ready; `lock` is the descriptor of its lock, held in shared mode."""
        super().__init__(directory, ready)
        self._lock = lock
        self._log = LiveLog(directory, self.control, preallocates=self.view.preallocates)
        self.write_lock = WriteLock(self.view.directory / LMDB_LOCK_FILE)
        self._watched = self.write_lock.watched
        self.check_files = OpenFiles(directory, lock, self.control, self.log_end, self._refuse).check
        # Opened once: to close a descriptor of a file drops the process's locks on it.
        robust = host.has_robust_locks()
        self._guarded = None if robust else _filesystem.open_file(directory / WRITER_LOCK_FILE, os.O_RDWR | os.O_CREAT)
        self._make_locks()

    @property
    def log_directory(self) -> Path:
        """Where the segments lie."""
        return self._log.directory

    def _reach_view(self) -> None:
        """Make the view and the locks those of this process. Before a lock is taken, since it may start threads."""
        try:
            _ = self.view
        except ViewError as error:
            raise self._translated(error) from error

    # Waiting

    def find_lock(self) -> None:
        """Find the write lock, so that `is_free` can tell. It may have to wait for it."""
        self._reach_view()
        self.write_lock.prepare()
        with self._writing:
            transaction = self.begin(None, None, True)  # noqa: FBT003 - as in write
            try:
                self.write_lock.find_prepared()
                self._watched = self.write_lock.watched
            finally:
                transaction.abort()

    def is_free(self) -> bool:
        """Return whether a write would begin at once: no process writes or syncs, as far as a look can tell.

        Between the look and the lock another process may be faster: the time of some instructions.
        """
        lock = self.write_lock
        return (
            lock.found
            and not lock.word[0]
            and not self._threads.locked()
            and not self.words[WORD_SYNCING]
            and self._view is not None
            and bool(own_memory[0])
        )

    # Syncing

    def sync(self) -> None:
        """Sync all changes that were committed before the call."""
        self.check_files()
        self.sync_to(self.log_end().sequence)

    def sync_to(self, sequence: int, transaction: int = 0) -> None:
        """Return when the entry `sequence`, of a transaction if known, is on disk. Threads that wait share one sync.

        Raises:
            StoreFailed: the sync failed. It is never tried again: the kernel may have dropped what it could not write.

        """
        words = self.words
        while words[control_block.WORD_SYNCED_SEQUENCE] < sequence:
            with self._syncing:
                if words[control_block.WORD_FAILED]:
                    self._refuse()
                if words[control_block.WORD_SYNCED_SEQUENCE] < sequence:
                    # LMDB is asked only where another may have written since.
                    end = self.control.end_if_last(transaction) if transaction else None
                    self._log.sync(end or self.log_end())

    # Ending, forking

    def _make_locks(self) -> None:
        """Make the locks between the threads of this process."""
        self._threads = threading.Lock()
        self._writing = self._threads if self._guarded is None else self._guard(self._guarded)
        self.copying = threading.Lock()  # held while a snapshot is copied
        self._syncing = threading.Lock()

    def _guard(self, descriptor: int) -> WriterGuard:
        def died() -> None:
            if not self.control.failed:
                self.control.fail(control_block.WRITER_DIED)
            self._refuse()

        return WriterGuard(self._threads, descriptor, self.words, died)

    def close(self) -> None:
        """Sync and close. Other processes are not touched."""
        if not own_memory[0]:
            renew()
        try:
            if self._view is not None and self.words[control_block.WORD_FAILED] not in _NO_SYNC:
                self.sync()
        finally:
            self._begin_no_more()
            # LMDB does not wait for the threads that are in it: closing under a write kills the process.
            with self.copying, self._threads, self._syncing:
                self._close_view()
                self._log.close()
                self._close_control()
            if self._guarded is not None:
                os.close(self._guarded)
            os.close(self._lock)

    def leave_to_parent(self) -> None:
        """Leave what a parent process uses alone: its view, its locks, and a log that it may just be writing to."""
        self._make_locks()
        self._log.leave_to_parent()
        super().leave_to_parent()
