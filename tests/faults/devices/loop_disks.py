"""Real file systems on loop devices, and the power failure that the kernel offers for tests."""

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.tally import Unavailable

MIB = 1024**2
FILE_SYSTEMS = {
    "ext4": (64 * MIB, ["mkfs.ext4", "-q", "-m", "0"]),
    "xfs": (320 * MIB, ["mkfs.xfs", "-q"]),  # the smallest it makes; nearly all of the image is a hole
}
_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN
_NOTHING_FLUSHED = 2
_TRIES = 100


class LoopDisk:
    """A file system in a file; `point` is where it is mounted."""

    def __init__(self, kind: str, directory: Path) -> None:
        size, make = FILE_SYSTEMS[kind]
        self.kind = kind
        self.point = directory / "disk"
        self._image = directory / "image"
        self._image.touch()
        os.truncate(self._image, size)
        self.point.mkdir()
        self._mounted = False
        try:
            subprocess.run([*make, str(self._image)], check=True, capture_output=True)
        except FileNotFoundError as error:
            raise Unavailable(f"{error.filename} is not installed") from error

    def mount(self) -> None:
        mounted = subprocess.run(
            ["mount", "-o", "loop", str(self._image), str(self.point)], check=False, capture_output=True, text=True
        )
        if mounted.returncode:
            raise Unavailable(f"cannot mount {self.kind}: {mounted.stderr.strip()}")
        self._mounted = True

    def shut_down(self) -> None:
        """Let the file system stop at once: nothing of what is in memory is written any more."""
        descriptor = os.open(self.point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NOTHING_FLUSHED))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Unmount, which detaches the loop device; those who are dead may take a moment to let go."""
        command = ["umount", str(self.point)]
        for _ in range(_TRIES):
            if not self._mounted or not subprocess.run(command, check=False, capture_output=True).returncode:
                self._mounted = False
                return
            time.sleep(0.02)
        subprocess.run(["umount", "--lazy", str(self.point)], check=True)


@contextmanager
def loop_disk(kind: str, directory: Path) -> Iterator[LoopDisk]:
    """Keep a file system mounted for a block.

    Raises:
        Unavailable: it cannot be made or mounted here.

    """
    disk = LoopDisk(kind, directory)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()
