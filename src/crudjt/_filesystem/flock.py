"""Locks between processes: flock, or what a system has in its place."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from crudjt import _filesystem
from crudjt._filesystem.platform import system

lock = system.lock
unlock = system.unlock


@contextmanager
def alone_in(directory: Path) -> Generator[None]:
    """Run a block in one process at a time, by the lock of a directory."""
    with _filesystem.opened(directory, os.O_RDONLY | _filesystem.DIRECTORY) as descriptor:
        lock(descriptor, exclusive=True, wait=True)
        try:
            yield
        finally:
            unlock(descriptor)  # a child that was forked in the block has a copy of the descriptor
