"""Parts of the platform layer that no store on Linux uses."""

import os
from pathlib import Path

import pytest

from crudjt._filesystem.platform.zeros import write_zeros


@pytest.mark.parametrize(("offset", "size", "expected"), [(0, 100_000, 100_000), (70_000, 10, 70_010), (0, 3, 7)])
def test_zeros_make_a_file_long_enough_and_change_nothing_in_it(
    tmp_path: Path, offset: int, size: int, expected: int
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    descriptor = os.open(file, os.O_RDWR)
    try:
        write_zeros(os.pwrite, descriptor, offset, size)
    finally:
        os.close(descriptor)
    assert file.read_bytes() == b"content".ljust(expected, b"\0")
