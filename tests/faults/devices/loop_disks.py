"""Real file systems on loop devices, and the power failure that the kernel offers for tests."""

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.tally import Unavailable

MIB = 1024**2
FILE_SYSTEMS = {
    "ext4": (64 * MIB, ["mkfs.ext4", "-q", "-m", "0"]),
    "xfs": (320 * MIB, ["mkfs.xfs", "-q"]),  # the smallest it makes; nearly all of the image is a hole
}
_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN
_NOTHING_FLUSHED = 2
_PATIENCE = 60.0  # seconds; what holds a file system is a process that ends, or another test in a mount namespace
_PAUSE = 0.02


class LoopDisk:
    """A file system in a file; `point` is where it is mounted."""

    def __init__(self, kind: str, directory: Path) -> None:
        size, make = FILE_SYSTEMS[kind]
        self.kind = kind
        self.point = directory / "disk"
        self._image = directory.resolve() / "image"
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
        """Unmount, and return when the kernel has detached the loop device.

        While anything in any mount namespace uses the file system, mounting the image again gives the same one, which
        may have been shut down: every call on it fails with EIO. So a busy one is waited for, and never left to be
        unmounted later.

        Raises:
            TimeoutError: it stayed in use.

        """
        end = time.monotonic() + _PATIENCE
        while not self._is_free():
            if time.monotonic() > end:
                raise TimeoutError(f"{self.point} is still in use {_PATIENCE:.0f} s after its processes have ended")
            time.sleep(_PAUSE)

    def abandon(self) -> None:
        """Leave it to the kernel to unmount it. It must not be mounted again."""
        subprocess.run(["umount", "--lazy", self.point], check=False)
        self._mounted = False

    def _is_free(self) -> bool:
        if self._mounted:
            self._mounted = bool(subprocess.run(["umount", self.point], check=False, capture_output=True).returncode)
        return not self._mounted and str(self._image) not in _attached_images()


def _attached_images() -> set[str]:
    """Return the files of all loop devices."""
    attached: set[str] = set()
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # it is just being detached
            attached.add(file.read_text().rstrip("\n"))
    return attached


@contextmanager
def loop_disk(kind: str, directory: Path) -> Iterator[LoopDisk]:
    """Keep a file system mounted for a block.

    Raises:
        Unavailable: it cannot be made or mounted here.
        TimeoutError: it stayed in use after the block.

    """
    disk = LoopDisk(kind, directory)
    disk.mount()
    try:
        yield disk
    finally:
        try:
            disk.unmount()
        except TimeoutError:
            disk.abandon()
            raise
