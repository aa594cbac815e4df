"""Files that dead processes have left half made."""

from pathlib import Path

from crudjt import _filesystem
from crudjt._backends.embedded.engine import manifest
from crudjt._backends.embedded.engine.layout import BASE_DIRECTORY, CONTROL_FILE, VIEW_DIRECTORY
from crudjt._backends.embedded.engine.log import LOG_DIRECTORY


def remove_leftovers(directory: Path) -> None:
    """Remove incomplete files of dead processes."""
    for name in (LOG_DIRECTORY, BASE_DIRECTORY):
        for path in (directory / name).glob("*.tmp"):
            _filesystem.remove(path)


def remove_unfinished(directory: Path) -> None:
    """Remove what dead processes were about to put into the directory itself. Needs the lock in exclusive mode.

    The lock is the exception: another process may just be making it.
    """
    for name in (manifest.NAME, CONTROL_FILE):
        for path in directory.glob(f"{name}*.tmp"):
            _filesystem.remove(path)
    for name in (LOG_DIRECTORY, BASE_DIRECTORY, VIEW_DIRECTORY):
        for path in directory.glob(f"{name}.*.tmp"):
            path.rmdir()
