"""The lock that lets one process at a time maintain a store; it ends with the process."""

import os
from collections.abc import Generator
from contextlib import contextmanager

from crudjt import _filesystem
from crudjt._backends.embedded.engine.engine import Engine
from crudjt._backends.embedded.engine.log import (
    full_or_failed,
)


@contextmanager
def exclusively(engine: Engine) -> Generator[bool]:
    """Tell whether this process may maintain the store now; it is the only one for as long as the block lasts.

    What the operating system refuses in the block is raised as an error of ours.
    """
    try:
        with _filesystem.opened(engine.base_directory, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
            try:
                yield _filesystem.lock(descriptor, exclusive=True)
            finally:
                _filesystem.unlock(descriptor)  # a child that was forked meanwhile would hold it on
    except OSError as error:
        raise full_or_failed(engine.directory, error) from error
