"""The disks whose power fails: what is left of one is mounted again only after nothing uses the old mount."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDone  # another than the built-in one before Python 3.11
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.devices.loop_disks import LoopDisk, loop_disk
from tests.faults.tally import Unavailable

pytestmark = pytest.mark.root

COMMANDS = {
    "a process with an open file": ["sleep", "60"],
    "another mount namespace": ["unshare", "--mount", "sh", "-c", "echo; exec sleep 60"],
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    try:
        with loop_disk("ext4", tmp_path) as made:
            yield made
    except Unavailable as reason:
        pytest.skip(str(reason))


@contextmanager
def using(disk: LoopDisk, user: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Keep something running that uses a disk."""
    with (disk.point / "file").open("wb") as file:
        stdin = file if user == "a process with an open file" else subprocess.DEVNULL
        process = subprocess.Popen(COMMANDS[user], stdin=stdin, stdout=subprocess.PIPE)
    try:
        if stdin is subprocess.DEVNULL:
            assert process.stdout is not None
            assert process.stdout.readline()  # it has its namespace
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("user", COMMANDS)
def test_a_disk_that_is_in_use_is_waited_for_before_it_is_mounted_again(user: str, disk: LoopDisk) -> None:
    with ThreadPoolExecutor() as threads:
        with using(disk, user) as process:
            disk.shut_down()
            unmounting = threads.submit(disk.unmount)
            with pytest.raises(NotDone):
                unmounting.result(0.2)
            process.kill()
        unmounting.result(30)
    disk.mount()
    (disk.point / "after").write_bytes(b"works")
