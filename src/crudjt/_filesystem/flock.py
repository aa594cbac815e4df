"""Locks between processes. Not on Windows, where a client of a server imports the rest of the package."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from crudjt import _filesystem


def lock(descriptor: int, *, exclusive: bool, wait: bool = False) -> bool:
    """Take or convert an flock; return whether it succeeded. It ends with the last copy of the descriptor."""
    operation = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Release an flock, in every process that shares the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def alone_in(directory: Path) -> Generator[None]:
    """Run a block in one process at a time, by an flock on a directory."""
    with _filesystem.opened(directory, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        lock(descriptor, exclusive=True, wait=True)
        try:
            yield
        finally:
            unlock(descriptor)  # a child that was forked in the block has a copy of the descriptor
