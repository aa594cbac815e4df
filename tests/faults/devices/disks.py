"""What a disk may hold after a power failure, from the operations that went before it.

What was synced is there. Of what was not, each write of data and each change of a name may be there or not, whatever
came before or after it in another place or in the same file; a write may be there in part, with the size it would have
made and zeros for the rest. That is more than ext4 and xfs do, and what POSIX allows.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.faults.devices.recorder import (
    Cut,
    DataOperation,
    Made,
    MadeDirectory,
    NameOperation,
    Operation,
    Removed,
    Renamed,
    Synced,
    SyncedDirectory,
    SyncFailed,
    Written,
    parent,
)

Names = dict[str, int | None]  # files by number; ``None`` for directories
Image = dict[str, bytes | None]  # content of files; ``None`` for directories


class Kept(NamedTuple):
    """Which of the operations that were not synced a power failure has kept: a share, from 0 to 1."""

    names: float
    data: float
    torn: bool = False  # the last write of each file is there in part
    zeros: bool = False  # the size is there where the data is not

    def __str__(self) -> str:
        parts = [f"{self.names:.0%} of names", f"{self.data:.0%} of data"]
        return ", ".join([*parts, *["torn"] * self.torn, *["zeros"] * self.zeros])


EVERYTHING, NOTHING = Kept(1, 1), Kept(0, 0)
WAYS = [
    Kept(1, 0), Kept(0, 1), Kept(1, 0, zeros=True), Kept(1, 1, torn=True), Kept(1, 1, torn=True, zeros=True),
    Kept(0.5, 0.5), Kept(0.5, 1), Kept(1, 0.5), Kept(1, 0.7, zeros=True), Kept(0.5, 0.5, torn=True, zeros=True),
    Kept(0, 0.5), Kept(0.5, 0),
]  # fmt: skip


class _File:
    def __init__(self) -> None:
        self.synced = b""
        self.pending: list[DataOperation] = []

    def sync(self) -> None:
        content = bytearray(self.synced)
        for operation in self.pending:
            _apply(content, operation)
        self.synced = bytes(content)
        self.pending = []


class Disk:
    """A disk in the midst of things: what is synced, and what is not."""

    def __init__(self) -> None:
        self._names: Names = {".": None}
        self._pending: list[NameOperation] = []
        self._files: dict[int, _File] = {}

    def apply(self, operation: Operation) -> None:
        if isinstance(operation, Made):
            self._files[operation.file] = _File()
        if isinstance(operation, Made | MadeDirectory | Renamed | Removed):
            self._pending.append(operation)
        elif isinstance(operation, Synced):
            self._files[operation.file].sync()
        elif isinstance(operation, SyncFailed):
            self._files[operation.file].pending.clear()
        elif isinstance(operation, SyncedDirectory):
            for each in [each for each in self._pending if parent(each.path) == operation.path]:
                _rename(self._names, each)
                self._pending.remove(each)
        else:
            self._files[operation.file].pending.append(operation)

    def after_power_failure(self, kept: Kept, random: Random) -> Image:
        """Return what may be found."""
        names = dict(self._names)
        for operation in self._pending:
            if random.random() < kept.names:
                _rename(names, operation)
        image: Image = {}
        for path, file in sorted(names.items()):
            if path != "." and parent(path) in ({".", *image}):
                image[path] = None if file is None else self._content(self._files[file], kept, random)
        return image

    @staticmethod
    def _content(file: _File, kept: Kept, random: Random) -> bytes:
        content = bytearray(file.synced)
        for number, operation in enumerate(file.pending):
            if random.random() >= kept.data:
                if kept.zeros and isinstance(operation, Written):
                    _apply(content, Cut(0, max(len(content), operation.offset + len(operation.data))))
                continue
            if kept.torn and isinstance(operation, Written) and number == len(file.pending) - 1:
                if kept.zeros:
                    _apply(content, Cut(0, max(len(content), operation.offset + len(operation.data))))
                part = random.randrange(len(operation.data) + 1)
                _apply(content, Written(0, operation.offset, operation.data[:part]))
            else:
                _apply(content, operation)
        return bytes(content)


def _apply(content: bytearray, operation: DataOperation) -> None:
    if isinstance(operation, Cut):
        del content[operation.size :]
        content += bytes(operation.size - len(content))
    else:
        end = operation.offset + len(operation.data)
        content += bytes(max(end - len(content), 0))
        content[operation.offset : end] = operation.data


def _rename(names: Names, operation: NameOperation) -> None:
    if isinstance(operation, Removed):
        names.pop(operation.path, None)
    elif isinstance(operation, Renamed):
        names.pop(operation.source, None)
        names[operation.path] = operation.file
    else:
        names[operation.path] = operation.file if isinstance(operation, Made) else None


def ways(random: Random) -> Iterator[Kept]:
    """Yield what is tried at each point: the extremes, and one way between."""
    yield EVERYTHING
    yield NOTHING
    yield random.choice(WAYS)


def materialize(image: Image, root: Path) -> None:
    """Make an image's files."""
    root.mkdir(parents=True)
    for name, content in sorted(image.items()):
        if content is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(content)
