"""A process that opens a store maps the pages of the view that are in memory, and no others."""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.engine import own_maps
from crudjt._backends.embedded.engine.own_maps import map_ahead, mapped
from tests.support.waiting import eventually

MIB = 1024**2


class _Enough(Exception):
    """Ends the mapping."""


def mapped_bytes(file: Path) -> int:
    """Return how much of a file has its pages in the tables of this process."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    sizes = (int(next(line for line in lines if line.startswith("Rss:")).split()[1]) for at in lines if str(file) in at)
    return 1024 * sum(sizes)


@contextmanager
def half_empty(path: Path) -> Iterator[None]:
    """Map a file of 4 MiB; only its first half is in memory, or anywhere."""
    path.write_bytes(b"x" * 2 * MIB)
    with path.open("r+b") as file:
        file.truncate(4 * MIB)
        with mmap.mmap(file.fileno(), 4 * MIB):
            yield


def test_what_is_in_memory_is_mapped_and_nothing_else(tmp_path: Path) -> None:
    with half_empty(tmp_path / "file"):
        assert mapped_bytes(tmp_path / "file") == 0
        map_ahead(tmp_path / "file", 4 * MIB, lambda: None)
        assert mapped_bytes(tmp_path / "file") == 2 * MIB


@pytest.mark.parametrize("name", [b"M\xfcnchen", b"\xe2\x80\xa8", b"\x0c", b"\r", b"\xc2\x85", b"a b\n"])
def test_a_map_is_found_in_a_directory_of_any_name(tmp_path: Path, name: bytes) -> None:
    """Also by a line that holds what ends lines of text."""
    directory = tmp_path / os.fsdecode(name)
    directory.mkdir()
    with half_empty(directory / "file"):
        assert len(list(mapped(directory / "file"))) == 1


def test_mapping_ends_where_its_caller_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_maps, "_STEP_BYTES", MIB)

    def stop() -> None:
        if mapped_bytes(tmp_path / "file"):
            raise _Enough

    with half_empty(tmp_path / "file"):
        with pytest.raises(_Enough):
            map_ahead(tmp_path / "file", 4 * MIB, stop)
        assert MIB <= mapped_bytes(tmp_path / "file") < 2 * MIB


def test_a_kernel_that_cannot_map_ahead_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_maps, "_STEP_BYTES", MIB)
    monkeypatch.setattr(own_maps, "_MADV_POPULATE_READ", 10_000)
    steps: list[None] = []
    with half_empty(tmp_path / "file"):
        map_ahead(tmp_path / "file", 4 * MIB, lambda: steps.append(None))
        assert len(steps) == 1
        assert mapped_bytes(tmp_path / "file") == 0


def test_a_store_that_is_opened_again_has_its_view_mapped(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create_many([{"data": "x" * 1000}] * 2000)
    with crudjt.open(path, secret_key=secret_key):
        assert eventually(lambda: mapped_bytes(path / "view" / "data.mdb") >= 2 * MIB)
