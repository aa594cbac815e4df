"""The lock that lets one process at a time maintain a store; it ends with the process."""

import os
from collections.abc import Generator
from contextlib import contextmanager

from crudjt import _filesystem
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.os_errors import store_error
from crudjt._filesystem import flock


@contextmanager
def exclusively(engine: Engine) -> Generator[bool]:
    """Try to take the lock for a block; yield whether it succeeded.

    An `OSError` in the block is raised as a `StoreError`.
    """
    try:
        with _filesystem.opened(engine.base_directory, os.O_RDONLY | _filesystem.DIRECTORY) as descriptor:
            try:
                yield flock.lock(descriptor, exclusive=True)
            finally:
                flock.unlock(descriptor)  # else a child that was forked in the block would keep it
    except OSError as error:
        raise store_error(error, engine.directory) from error
