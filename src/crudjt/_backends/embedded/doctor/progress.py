"""How far a check has come, in bytes of the files that it reads."""

from collections.abc import Callable, Iterable
from pathlib import Path

from crudjt._filesystem.platform import system

Progress = Callable[[int, int], object]
"""Takes how much is done, and how much there is to do."""

_STEP_BYTES = 1024**2  # between two reports


def unreported(_done: int, _total: int) -> None:
    """Take progress that no caller asked for."""


class Meter:
    """Counts the bytes that were read of some files. A file counts as read when the next one is begun."""

    def __init__(self, files: Iterable[Path], report: Progress) -> None:
        """Take the files in the order in which they are read, and what each step is reported to."""
        self._sizes = {path: system.allocated_bytes(path) for path in files if path.exists()}
        self._total = sum(self._sizes.values())
        self._report = report
        self._done = 0
        self._reported = 0
        self._end = 0

    def begin(self, path: Path) -> None:
        """Begin a file, after all of those before it."""
        self._done = self._end
        self._end += self._sizes.get(path, 0)

    def advance(self, size: int) -> None:
        """Count bytes that were read of a file."""
        self._done += size
        if self._done - self._reported >= _STEP_BYTES:
            self._reported = self._done
            self._report(min(self._done, self._end), self._total)
