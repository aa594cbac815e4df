"""The operating system that refuses one call: the n-th that `crudjt._filesystem` makes."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crudjt import _filesystem
from crudjt._filesystem.platform import system

CALLS = ("open", "pwrite", "ftruncate", "fdatasync", "fsync", "posix_fallocate", "free_bytes")
PATH_CALLS = ("rename", "unlink", "mkdir")


class FaultyOs:
    """Counts the calls below the engine, and refuses one of them.

    Attributes:
        calls: how many there were.
        refused: the name of the one that was refused.

    """

    def __init__(self, number: int, error: int) -> None:
        self.calls = 0
        self.refused = ""
        self._number = number
        self._error = error

    def __getattr__(self, name: str) -> Any:
        function = getattr(system, name)
        return self.counted(name, function) if name in CALLS else function

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.calls += 1
            if self.calls == self._number:
                self.refused = name
                if name == "pwrite":  # a part of it may be there
                    descriptor, data, offset = arguments
                    os.pwrite(descriptor, data[: len(data) // 2], offset)
                raise OSError(self._error, os.strerror(self._error))
            return function(*arguments, **keywords)

        return call


@contextmanager
def refusing(number: int, error: int) -> Iterator[FaultyOs]:
    """Refuse the `number`-th call of a block."""
    faulty = FaultyOs(number, error)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_filesystem, "system", faulty)
        patch.setattr(_filesystem, "map_window", faulty.counted("map_window", _filesystem.map_window))
        for name in PATH_CALLS:
            patch.setattr(Path, name, faulty.counted(name, getattr(Path, name)))
        yield faulty
