"""Locks that keep other processes from opening, recovering or compacting the store during a check."""

import os
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from crudjt import _filesystem
from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.layout import BASE_DIRECTORY, STORE_LOCK_FILE
from crudjt._backends.embedded.engine.log import LOG_DIRECTORY
from crudjt._filesystem import flock
from crudjt.errors import StoreBusy, StoreInaccessible

_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.01


def check_is_store(directory: Path) -> None:
    """Check that a directory holds a store or the remains of one.

    Raises:
        StoreInaccessible: it does not.

    """
    if directory.exists() and not directory.is_dir():
        raise StoreInaccessible(directory, "is a file; a store is a directory")
    names = (manifest.NAME, LOG_DIRECTORY, BASE_DIRECTORY)
    try:
        if directory.is_dir() and any((directory / name).exists() for name in names):
            return
    except PermissionError as error:
        raise StoreInaccessible(directory, "no permission to look into it") from error
    raise StoreInaccessible(directory, "there is no store here")


@contextmanager
def at_rest(directory: Path, *, alone: bool = False) -> Generator[None]:
    """Keep other processes from recovering the store during a block; with `alone`, from having it open.

    Raises:
        StoreBusy: another process does so now.

    """
    with ExitStack() as stack:
        path = directory / STORE_LOCK_FILE
        if alone or path.exists():
            flags = os.O_RDWR | os.O_CREAT if alone else os.O_RDONLY
            _wait_for_lock(stack, path, flags, exclusive=alone)
        yield


@contextmanager
def maintenance_waits(directory: Path) -> Generator[None]:
    """Keep other processes from compacting, which removes files, during a block."""
    with ExitStack() as stack:
        if (directory / BASE_DIRECTORY).is_dir():
            _wait_for_lock(stack, directory / BASE_DIRECTORY, os.O_RDONLY | _filesystem.DIRECTORY, exclusive=False)
        yield


def _wait_for_lock(stack: ExitStack, path: Path, flags: int, *, exclusive: bool) -> None:
    descriptor = stack.enter_context(_filesystem.opened(path, flags))
    started = time.monotonic()
    patience = 1.0 if exclusive else _WAIT_SECONDS
    while not flock.lock(descriptor, exclusive=exclusive):
        waited = time.monotonic() - started
        if waited > patience:
            doing = "it is open in a process; close it everywhere" if exclusive else "a process works on its files"
            raise StoreBusy(path.parent, doing, waited)
        time.sleep(_POLL_SECONDS)
