"""Read an open store directory: the view that all processes share, and the end of the log."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from crudjt._backends.embedded.engine import control_block, manifest
from crudjt._backends.embedded.engine.control_block import WORD_FAILED, ControlBlock, LogEnd
from crudjt._backends.embedded.engine.layout import BASE_DIRECTORY, CONTROL_FILE, VIEW_DIRECTORY
from crudjt._backends.embedded.engine.lmdb_errors import translated
from crudjt._backends.embedded.engine.view import NoFreeSlot, Snapshot, View, ViewError
from crudjt._core.moves import NOTE_KEY, unpack_note
from crudjt._core.process_guard import guard, own_memory, renew
from crudjt._filesystem.platform import system
from crudjt.errors import StoreClosed, StoreError, StoreFailed, StoreMoved

Items = TypeVar("Items")

_DISK_FAILED = "the disk failed earlier; close the store in every process and reopen it"
_FAILURES = {
    control_block.WRITER_DIED: "a process was killed while it wrote, and its lock stays locked on this system; close "
    "the store in every process and reopen it: nothing is lost",
    control_block.FILES_REPLACED: "files of the store were replaced or removed while it was open, so what was written "
    "since is lost; close the store in every process, then put the files in place, and reopen it",
}
_SLOT_TRIES = 100_000  # each is lost only to two commits within a microsecond


class OpenDirectory:
    """The part of an `Engine` that needs no write lock.

    `begin` starts a transaction of the view. It is an attribute, not a method: `close` replaces it, and so does a
    forked child.
    """

    def __init__(self, directory: Path, ready: manifest.Manifest) -> None:
        """Open the control block and the view of a store that is ready."""
        self.directory = directory
        self.salt = bytes.fromhex(ready.salt)
        self.map_size = ready.map_size
        self.control = ControlBlock(directory / CONTROL_FILE)
        self.words = self.control.words
        self._view: View | None = View(directory / VIEW_DIRECTORY, ready.map_size)
        self.begin: Callable[..., Any] = self._view.begin
        self.on_revival: Callable[[], None] = lambda: None
        self.reclaim: Callable[[], bool] = lambda: False  # removes expired sessions; returns whether there were any
        self._await_upkeep()
        self._reviving = threading.Lock()
        guard(self)

    @property
    def base_directory(self) -> Path:
        """The directory of the snapshots."""
        return self.directory / BASE_DIRECTORY

    @property
    def view(self) -> View:
        """The open view; reopened if this process inherited it in a fork."""
        if not own_memory[0]:
            renew()
        return self._view or self._reopen_view()

    def get(self, key: bytes) -> bytes | None:
        """Return the last committed value of a key, or ``None``. Takes no lock."""
        return self.get_with_id(key)[0]

    def get_with_id(self, key: bytes) -> tuple[bytes | None, int]:
        """Return the last committed value of a key, or ``None``, and the id of the snapshot it was read from."""
        if not own_memory[0]:
            renew()
        begin = self.begin
        try:
            try:
                transaction = begin()
            except NoFreeSlot:
                transaction = self.view.begin_again()
            try:
                found = transaction.get(key), transaction.id()
            finally:
                transaction.abort()
        except ViewError as error:
            raise self._translated(error) from error
        if self.words[WORD_FAILED]:
            self._refuse()
            self.refuse_move()
        return found

    def get_in_move(self, key: bytes) -> tuple[bytes | None, int]:
        """Return what `get_with_id` does, also while sessions are being moved: then it may be a mark or the note."""
        try:
            transaction: Any = self.view.snapshot()
            with transaction:
                value: bytes | None = transaction.get(key)
                snapshot: int = transaction.id()
        except ViewError as error:
            raise self._translated(error) from error
        if self.words[WORD_FAILED]:
            self._refuse()
        return value, snapshot

    def scan(self, prefix: bytes, start: bytes, limit: int, *, moving: bool = False) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` items of the view whose keys have `prefix`, from the key `start` on.

        With `moving`, also while the sessions are being moved: then there may be marks and a note among the items.
        """
        return self._scanned(View.scan, prefix, start, limit, moving=moving)

    def endings(self, prefix: bytes, start: bytes, limit: int) -> list[bytes]:
        """Return what follows `prefix` in up to `limit` keys of the view, from the key `start` on; as `scan`."""
        return self.endings_with_id(prefix, start, limit)[0]

    def endings_with_id(
        self, prefix: bytes, start: bytes, limit: int, *, moving: bool = False
    ) -> tuple[list[bytes], int]:
        """Return what `endings` does, and the id of the snapshot it was read from."""
        return self._scanned(View.endings, prefix, start, limit, moving=moving)

    def scan_back(self, prefix: bytes, before: bytes, limit: int, *, moving: bool = False) -> list[tuple[bytes, bytes]]:
        """Return what `scan` does, in descending order, of the keys that are less than `before`."""
        return self._scanned(View.scan_back, prefix, before, limit, moving=moving)

    def _scanned(self, scan: Callable[[View, bytes, bytes, int], Items], *arguments: Any, moving: bool) -> Items:
        try:
            items = scan(self.view, *arguments)
        except ViewError as error:
            raise self._translated(error) from error
        if self.words[WORD_FAILED]:
            self._refuse()
            if not moving:
                self.refuse_move()
        return items

    def log_end(self) -> LogEnd:
        """Return the end of the log as of the last commit."""
        for _ in range(_SLOT_TRIES):
            try:
                last = self.view.last_transaction
            except ViewError as error:
                raise self._translated(error) from error
            end = self.control.log_end(last)
            if end is not None:  # else a later writer was filling the slot while it was read
                return end
        raise StoreFailed(self.directory, "view and control block disagree; close the store everywhere and reopen it")

    def snapshot(self) -> tuple[Snapshot, LogEnd]:
        """Return a snapshot of the view, which the caller must end, and the end of the log at that commit."""
        for _ in range(_SLOT_TRIES):
            if self.words[WORD_FAILED]:
                self._refuse()
            try:
                snapshot = self.view.snapshot()
            except ViewError as error:
                raise self._translated(error) from error
            end = self.control.log_end(snapshot.id())
            if end is not None:  # as in log_end
                return snapshot, end
            snapshot.abort()
        raise StoreFailed(self.directory, "view and control block disagree; close the store everywhere and reopen it")

    # Ending, forking, failing

    def _begin_no_more(self) -> None:
        """Make every later attempt to begin a transaction raise `StoreClosed`."""
        self.begin = _refuse_closed

    def _close_control(self) -> None:
        """Unmap the control block where nothing could remove it else, this process's next opening included."""
        if not system.removes_mapped_files:
            self.control.close()

    def _close_view(self) -> None:
        """Close the view. No thread may be using it."""
        if self._view is not None:
            self._view.close()

    def _await_upkeep(self) -> None:
        # Set where no background threads run, and now and then to see whether they do: a write then calls `upkeep`.
        self.unattended = False
        self.upkeep: Callable[[int], None] = lambda _sequence: None

    def leave_to_parent(self) -> None:
        """Leave the view of a parent process alone; the next use opens one of this process."""
        self._reviving = threading.Lock()
        self._await_upkeep()
        if self._view is not None:
            self._view.abandon()
            self._view = None
        if self.begin is not _refuse_closed:
            self.begin = self._reopen_and_begin

    def _reopen_and_begin(self, *arguments: Any) -> Any:
        begin: Callable[..., Any] = self.view.begin
        return begin(*arguments)

    def _reopen_view(self) -> View:
        if self.begin is _refuse_closed:
            raise StoreClosed
        with self._reviving:
            view = self._view
            if view is not None:
                return view
            view = self._view = View(self.directory / VIEW_DIRECTORY, self.map_size)
            self.begin = view.begin
        # Starts threads, so no lock is held: under gevent, another greenlet that waits for it would stop the process.
        self.on_revival()
        return view

    def _translated(self, error: ViewError) -> StoreError:
        return StoreClosed() if self.begin is _refuse_closed else translated(error, self.directory)

    def _refuse(self) -> None:
        """Raise if the store has failed. One that is being moved has not."""
        if self.control.failed:
            raise StoreFailed(self.directory, _FAILURES.get(self.words[WORD_FAILED], _DISK_FAILED))

    def refuse_move(self) -> None:
        """Raise if a move of the sessions has begun, which the caller does not know of.

        Raises:
            StoreMoved: it has.

        """
        if self.words[WORD_FAILED] == control_block.MOVING:
            try:
                items = self.view.scan(NOTE_KEY, NOTE_KEY, 1)
            except ViewError as error:
                raise self._translated(error) from error
            self._refuse_noted(items[0][1] if items else None)

    def _refuse_noted(self, note: bytes | None) -> None:
        if note is not None:
            to = unpack_note(note).location
            raise StoreMoved(self.directory, f"its sessions are moved to {to}; open it with moving_to={to!r}")


def _refuse_closed(*_: Any) -> NoReturn:
    raise StoreClosed
