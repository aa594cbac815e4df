"""A directory of its own for each run of the tests, in memory where there is room.

Two runs do not meet each other's files. In memory, since stores are opened thousands of times, and would wait for the
disk at each. A test that is about a file system mounts one.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 4 * 1024**3


class RunDirectory:
    """The directory of this run; it is locked, so that another run knows that it is in use.

    Attributes:
        path: open to all users, for the tests that are about permissions.

    """

    def __init__(self) -> None:
        """Make it, and remove what is left of runs that were killed or have failed."""
        user = _parent() / f"crudjt-tests-{os.getuid()}"
        user.mkdir(mode=0o755, exist_ok=True)
        lock = _opened(user)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # between making a directory and locking it, it looks unused
            for each in user.iterdir():
                _remove_unused(each)
            self.path = Path(tempfile.mkdtemp(dir=user))
            self.path.chmod(0o755)
            self._lock = _opened(self.path)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        finally:
            os.close(lock)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        _remove(self.path)
        self.close()

    def close(self) -> None:
        """Leave it to be looked at, until the next run begins."""
        os.close(self._lock)


def _parent() -> Path:
    told = "TMPDIR" in os.environ
    if not told and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ENOUGH_BYTES:
        return _MEMORY
    return Path(tempfile.gettempdir())


def _opened(directory: Path) -> int:
    """Open a directory of this user."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    assert os.fstat(descriptor).st_uid == os.getuid(), f"{directory} belongs to another user"
    return descriptor


def _remove_unused(directory: Path) -> None:
    lock = _opened(directory)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        _remove(directory)
    finally:
        os.close(lock)


def _remove(directory: Path) -> None:
    """Remove a directory, and unmount what a killed test has left mounted there."""
    mounted = [line.split()[1] for line in os.fsdecode(Path("/proc/self/mounts").read_bytes()).split("\n")[:-1]]
    for point in mounted:
        if Path(point).is_relative_to(directory):
            subprocess.run(["umount", "--lazy", point], check=False)
    shutil.rmtree(directory, ignore_errors=True)
