"""Records every file operation that durability rests on, in order, while a store works in this process.

It stands below `crudjt._filesystem`, in the place of the calls to the operating system, so that an operation which
that module forgets is missing here too. What is under ``view/``, the control block and the lock are left out: no boot
trusts them.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from crudjt import _filesystem
from crudjt._backends.embedded.engine.layout import CONTROL_FILE, STORE_LOCK_FILE, VIEW_DIRECTORY
from crudjt._backends.embedded.engine.view import View
from crudjt._filesystem.platform import system

UNTRUSTED = {VIEW_DIRECTORY, CONTROL_FILE, STORE_LOCK_FILE}


class Made(NamedTuple):
    """A name for a new, empty file."""

    path: str
    file: int


class MadeDirectory(NamedTuple):
    """A new directory."""

    path: str


class Renamed(NamedTuple):
    """A file with another name."""

    source: str
    path: str
    file: int


class Removed(NamedTuple):
    """A name that is gone."""

    path: str


class Written(NamedTuple):
    """Bytes in a file."""

    file: int
    offset: int
    data: bytes


class Cut(NamedTuple):
    """A file with another size."""

    file: int
    size: int


class Synced(NamedTuple):
    """The bytes and size of a file are on disk."""

    file: int


class SyncFailed(NamedTuple):
    """What was written to a file and not synced is in memory only, and the kernel takes it for written."""

    file: int


class SyncedDirectory(NamedTuple):
    """The names in a directory are on disk."""

    path: str


NameOperation = Made | MadeDirectory | Renamed | Removed
DataOperation = Written | Cut
Operation = NameOperation | DataOperation | Synced | SyncFailed | SyncedDirectory


class Recorder:
    """Appends to `trace` what happens below `root`; others may append marks of their own.

    With `refuse_sync`, the next sync of a file fails.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trace: list[Any] = []
        self.refuse_sync = False
        self._files: dict[int, int] = {}  # by inode
        self._count = 0
        for path in sorted(root.rglob("*")):
            self._meet(path)
        self.start = len(self.trace)

    def _meet(self, path: Path) -> None:
        """Take what is there before the recording begins as synced."""
        name = self.name(path)
        if name is None:
            return
        if path.is_dir():
            self.trace += [MadeDirectory(name), SyncedDirectory(parent(name))]
            return
        file = self.new_file(path)
        content = path.read_bytes()
        self.trace += [Made(name, file), Written(file, 0, content), Synced(file), SyncedDirectory(parent(name))]

    def name(self, path: Path) -> str | None:
        """Return the path of a file that counts, from the root; ``None`` for others."""
        try:
            relative = path.relative_to(self.root)
        except ValueError:
            return None
        return None if UNTRUSTED & set(relative.parts) else str(relative)

    def new_file(self, path: Path) -> int:
        self._count += 1
        self._files[path.stat().st_ino] = self._count
        return self._count

    def file(self, descriptor: int) -> int | None:
        """Return the file behind a descriptor, if it counts."""
        path = Path(str(Path(f"/proc/self/fd/{descriptor}").readlink()).removesuffix(" (deleted)"))
        return None if self.name(path) is None else self._files[os.fstat(descriptor).st_ino]

    def data(self, descriptor: int, operation: type, *arguments: Any) -> None:
        file = self.file(descriptor)
        if file is not None:
            self.trace.append(operation(file, *arguments))


def parent(name: str) -> str:
    """Return the directory of a name."""
    return str(Path(name).parent)


class RecordingOs:
    """The operating system as `crudjt._filesystem` sees it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        return getattr(system, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        existed = path.exists()
        descriptor = os.open(path, flags, mode)
        name = self._recorder.name(path)
        if name is not None and not path.is_dir():
            if not existed:
                self._recorder.trace.append(Made(name, self._recorder.new_file(path)))
            elif flags & os.O_TRUNC:
                self._recorder.data(descriptor, Cut, 0)
        return descriptor

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        written = os.pwrite(descriptor, data, offset)
        self._recorder.data(descriptor, Written, offset, data[:written])
        return written

    def ftruncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)
        self._recorder.data(descriptor, Cut, size)

    def posix_fallocate(self, descriptor: int, offset: int, size: int) -> None:
        before = os.fstat(descriptor).st_size
        os.posix_fallocate(descriptor, offset, size)
        if offset + size > before:
            self._recorder.data(descriptor, Cut, offset + size)

    def fdatasync(self, descriptor: int) -> None:
        if self._recorder.refuse_sync:
            self._recorder.refuse_sync = False
            self._recorder.data(descriptor, SyncFailed)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._recorder.data(descriptor, Synced)

    def fsync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if not path.is_dir():
            self.fdatasync(descriptor)
        elif (name := self._recorder.name(path)) is not None:
            self._recorder.trace.append(SyncedDirectory(name))


class RecordingMap(mmap):
    """A part of a file that is written through a map. Each page of what is copied may reach the disk by itself."""

    def record(self, recorder: Recorder, descriptor: int, offset: int) -> None:
        """Tell what is copied from now on."""
        self._recorder = recorder
        self._descriptor = descriptor
        self._offset = offset

    def __setitem__(self, where: Any, data: Any) -> None:
        super().__setitem__(where, data)
        start, end = self._offset + where.start, self._offset + where.stop
        for at in (
            start,
            *range((start // _filesystem.BLOCK_BYTES + 1) * _filesystem.BLOCK_BYTES, end, _filesystem.BLOCK_BYTES),
        ):
            part = data[
                at - start : at // _filesystem.BLOCK_BYTES * _filesystem.BLOCK_BYTES + _filesystem.BLOCK_BYTES - start
            ]
            self._recorder.data(self._descriptor, Written, at, part)


@contextmanager
def recording(root: Path) -> Iterator[Recorder]:
    """Record for a block. Nothing is really synced meanwhile."""
    recorder = Recorder(root)
    rename, unlink, mkdir, copy = Path.rename, Path.unlink, Path.mkdir, View.copy

    def recorded_rename(self: Path, target: Path) -> Path:
        result = rename(self, target)
        source, name = recorder.name(self), recorder.name(Path(target))
        if source is not None and name is not None:
            recorder.trace.append(Renamed(source, name, recorder._files[target.stat().st_ino]))
        return result

    def recorded_unlink(self: Path, missing_ok: bool = False) -> None:
        existed = self.exists()
        unlink(self, missing_ok=missing_ok)
        name = recorder.name(self)
        if existed and name is not None:
            recorder.trace.append(Removed(name))

    def recorded_mkdir(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if parents and not self.parent.exists():
            recorded_mkdir(self.parent, mode, True, True)
        existed = self.exists()
        mkdir(self, mode, exist_ok=exist_ok)
        name = recorder.name(self)
        if not existed and name is not None:
            recorder.trace.append(MadeDirectory(name))

    def recorded_copy(self: View, target: int, snapshot: Any) -> int:
        size = copy(self, target, snapshot)
        recorder.data(target, Written, 0, Path(f"/proc/self/fd/{target}").read_bytes()[:size])
        return size

    def recorded_map(descriptor: int, offset: int, size: int) -> mmap:
        window = RecordingMap(descriptor, size, offset=offset)
        window.record(recorder, descriptor, offset)
        return window

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_filesystem, "map_window", recorded_map)
        patch.setattr(_filesystem, "system", RecordingOs(recorder))
        patch.setattr(Path, "rename", recorded_rename)
        patch.setattr(Path, "unlink", recorded_unlink)
        patch.setattr(Path, "mkdir", recorded_mkdir)
        patch.setattr(View, "copy", recorded_copy)
        yield recorder
