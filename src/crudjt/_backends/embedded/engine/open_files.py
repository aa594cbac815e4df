"""Notice that files of a running store were replaced or removed.

An open file is not the file of that name: a deploy that replaces the directory, a cleaner of temporary files or a
restored backup leaves a process with files that no other process will ever open, and every write to them succeeds.
"""

import os
from collections.abc import Callable
from pathlib import Path

from crudjt._backends.embedded.engine.control_block import FILES_REPLACED, ControlBlock, LogEnd
from crudjt._backends.embedded.engine.layout import CONTROL_FILE, STORE_LOCK_FILE, VIEW_DIRECTORY
from crudjt._backends.embedded.engine.lmdb_format import DATA_FILE
from crudjt._backends.embedded.engine.log import LOG_DIRECTORY
from crudjt._backends.embedded.engine.segment import segment_path

Identity = tuple[int, int]  # device and inode


class OpenFiles:
    """The files that a process has open, to be compared with those of their names."""

    def __init__(
        self,
        directory: Path,
        lock: int,
        control: ControlBlock,
        log_end: Callable[[], LogEnd],
        refuse: Callable[[], None],
    ) -> None:
        """Take a store that was just opened; what returns the end of its log; and what raises its failure."""
        self._identities = {
            path: _identity(path.stat()) for path in (directory / CONTROL_FILE, directory / VIEW_DIRECTORY / DATA_FILE)
        }
        self._identities[directory / STORE_LOCK_FILE] = _identity(os.fstat(lock))
        self._log = directory / LOG_DIRECTORY
        self._control = control
        self._log_end = log_end
        self._refuse = refuse

    def check(self) -> None:
        """Stop every process of the store if a file is not in its place any more.

        Raises:
            StoreFailed: a file is not, or the store has failed earlier.

        """
        if not self._control.failed and not self._in_place():
            self._control.fail(FILES_REPLACED)
        if self._control.failed:
            self._refuse()

    def _in_place(self) -> bool:
        if any(_now_at(path, identity) != identity for path, identity in self._identities.items()):
            return False
        segment = self._log_end().segment
        while True:
            noted = self._control.segment_inode(segment)
            found = _now_at(segment_path(self._log, segment), (0, noted))
            # A segment that is gone may have been compacted since: then another is the current one.
            before, segment = segment, self._log_end().segment
            if before == segment:
                return found is not None and (found[1] == noted or not noted)


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _now_at(path: Path, otherwise: Identity) -> Identity | None:
    """Return what lies at a path, ``None`` for nothing, and `otherwise` where that cannot be known."""
    try:
        return _identity(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # no permission any more, say: the process has changed its user
        return otherwise
