"""The log of a live store in one process: the current segment, and its sync to disk."""

from pathlib import Path

from crudjt._backends.embedded.engine import control_block
from crudjt._backends.embedded.engine.control_block import ControlBlock, LogEnd
from crudjt._backends.embedded.engine.mmap_writer import MappedSegmentWriter
from crudjt._backends.embedded.engine.os_errors import store_error
from crudjt._backends.embedded.engine.segment import Entry, segment_path
from crudjt._backends.embedded.engine.segment_reader import SegmentReader
from crudjt._core.clock import NS_PER_MS, system_clock
from crudjt.errors import StoreError, StoreFailed

LOG_DIRECTORY = "log"


class LiveLog:
    """Writes and cuts the current segment under the write lock; syncs it at any time.

    Attributes:
        directory: the directory of the segments.
        current: writer of the segment that this process used last, if any.

    """

    def __init__(self, store: Path, control: ControlBlock, *, preallocates: bool) -> None:
        """Prepare; the segment is opened at the first use."""
        self._store = store
        self._control = control
        self._words = control.words
        self._preallocates = preallocates
        self.directory = store / LOG_DIRECTORY
        self.current: MappedSegmentWriter | None = None

    def writer(self, number: int) -> MappedSegmentWriter:
        """Return the writer of a segment, opening it if needed; it becomes the current one.

        Raises:
            FileNotFoundError: the segment is gone.
            StoreCorrupt: its header is damaged.

        """
        writer = self.current
        if writer is None or writer.number != number:
            writer = MappedSegmentWriter(self.directory, number, self._words, preallocates=self._preallocates)
            self.current = writer
        return writer

    def cut_unfinished(self, number: int) -> None:
        """Cut off the entry of a writer that died or failed before it committed transaction `number`.

        The cut is synced: the entry may be on disk already, and after a power failure recovery would replay a change
        that was refused.
        """
        if self._control.holds(number):
            before = LogEnd._make(self._control.slot(number - 1))
            if self.writer(before.segment).cut(before.end):
                self.sync(before)

    def fail_if_whole(self, number: int) -> None:
        """Stop every process if the entry of transaction `number` is complete in the log and could not be cut off.

        The next recovery would replay a change that was refused. Part of an entry does no harm: the next overwrites it.
        """
        segment, end, *_ = self._control.slot(number - 1)
        try:
            found = SegmentReader(segment_path(self.directory, segment)).entry_at(end)
            whole = isinstance(found, Entry)
        except (OSError, StoreError):
            whole = True  # unknown
        if whole:
            self._control.fail()

    def sync(self, target: LogEnd) -> None:
        """Sync the segment that contains `target`; earlier segments were synced when they ended."""
        try:
            writer = self.writer(target.segment)
        except FileNotFoundError:
            return  # another process has ended and synced it
        except OSError as error:
            raise store_error(error, self._store) from error
        self._words[control_block.WORD_SYNCING] = 1
        try:
            writer.sync()
            writer.mark_synced(target.end)
        except OSError as error:
            self._control.fail()
            raise StoreFailed(self._store, "a sync to disk failed; close the store everywhere and reopen it") from error
        finally:
            self._words[control_block.WORD_SYNCING] = 0
        self._words[control_block.WORD_SYNCED_END] = target.end
        self._words[control_block.WORD_SYNCED_SEQUENCE] = target.sequence
        self._words[control_block.WORD_SYNCED_AT] = system_clock() // NS_PER_MS

    def leave_to_parent(self) -> None:
        """Open the segment again at the next use: a thread of the parent may have been using the inherited writer."""
        self.current = None

    def close(self) -> None:
        """Close the segment and its map."""
        if self.current is not None:
            self.current.close()
            self.current = None
