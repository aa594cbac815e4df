"""Write a backup of a store that a server streams."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from crudjt import _filesystem
from crudjt.errors import StoreInaccessible


class CopyWriter:
    """Applies the steps of a `crudjt.v1.BackupResponse` stream to a directory."""

    def __init__(self, directory: Path) -> None:
        """Take a directory that exists."""
        self._directory = directory
        self._file: BinaryIO | None = None

    def write(self, steps: Iterable[Any]) -> None:
        """Write all steps; return when the files are on disk.

        Raises:
            OSError: a write failed.
            StoreInaccessible: the stream is invalid, for instance a path that leaves the directory.

        """
        try:
            for step in steps:
                self._step(step)
        finally:
            self._finish()

    def _step(self, step: Any) -> None:
        kind = step.WhichOneof("step")
        if kind == "content" and self._file is not None:
            self._file.write(step.content)
        elif kind == "file":
            self._finish()
            self._file = os.fdopen(
                _filesystem.open_file(self._inside(step.file), os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb"
            )
        elif kind == "directory":
            _filesystem.make_inner_directory(self._inside(step.directory))

    def _finish(self) -> None:
        if self._file is not None:
            with self._file as file:
                self._file = None
                file.flush()
                _filesystem.sync_data(file.fileno())

    def _inside(self, name: str) -> Path:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
            raise StoreInaccessible(self._directory, "invalid backup stream from the server")
        return self._directory / path
