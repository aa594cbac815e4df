"""Parts of the platform layer that no store on Linux uses, or none with glibc."""

import errno
import os
from pathlib import Path

import pytest

import crudjt
from crudjt._filesystem.platform import system
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


@pytest.fixture
def _refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer as musl does where a file system cannot allocate."""

    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", refuse)


@pytest.mark.usefixtures("_refused")
@pytest.mark.parametrize("offset", [0, 4096, 5000, 40_000])
def test_a_range_that_cannot_be_allocated_gets_its_blocks_by_writes(tmp_path: Path, offset: int) -> None:
    """They are under the whole range, holes and what is beyond the end; what was in it stays."""
    file = tmp_path / "file"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(descriptor, b"content", 20_000)
        os.ftruncate(descriptor, 36_864)
        before = file.read_bytes()
        system.posix_fallocate(descriptor, offset, 81_920)
        assert file.read_bytes() == before.ljust(offset + 81_920, b"\0")
        assert system.allocated_bytes(file) >= 81_920
    finally:
        os.close(descriptor)


@pytest.mark.usefixtures("_refused")
def test_a_store_works_where_no_file_can_be_allocated(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        tokens = store.create_many([{"data": "x" * 1000}] * 1000)
    with crudjt.open(path, secret_key=secret_key) as store:
        assert [session and session.data for session in store.read_many(tokens)] == [{"data": "x" * 1000}] * 1000
