"""Stores on hosts whose pages are larger than 4 KiB: arm64 and ppc64le kernels of 16 or 64 KiB.

The page size of a store is that of the host that made it, up to LMDB's 32 KiB, and stays with its files. Here the C
library only says that pages are larger: LMDB and Python ask nothing else.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt._backends.embedded.doctor.check import examine
from crudjt._backends.embedded.doctor.repair import repair
from crudjt._backends.embedded.engine.lmdb_format import read_metas
from tests.support.disks import bases, data_file, flip
from tests.support.embedded import compact
from tests.support.project import ROOT

MIB = 1024**2
MAX_SIZE = 4 * MIB
SECONDS = 100
LEAF = 2  # in the flags of a page

Preloaded = Callable[..., Any]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("page_size") / "page_size.so"
    source = ROOT / "tests" / "support" / "page_size.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", target, source, "-ldl"], check=True)
    return target


@pytest.fixture
def preloaded(library: Path) -> Preloaded:
    """Return a function that calls one of this module in a process on pages of another size."""

    def call(page_bytes: int, function: Callable[..., Any], *arguments: str) -> Any:
        code = f"import sys, json; from {__name__} import {function.__name__} as f; print(json.dumps(f(*sys.argv[1:])))"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT,
            env={**os.environ, "LD_PRELOAD": str(library), "PAGE_SIZE_OF_TEST": str(page_bytes)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call


def page_bytes_of(file: Path) -> int:
    with file.open("rb") as opened:
        return read_metas(opened.fileno())[0].page_bytes


def opened(path: str, key: str) -> crudjt.Store:
    return crudjt.open(path, secret_key=key, max_size=MAX_SIZE, sync_interval=3600)


def fill_and_end(path: str, key: str) -> dict[str, Any]:
    """Fill a store until it refuses, end some sessions, and read the others."""
    with opened(path, key) as store:
        tokens = list(created_until_full(store))
        full = store.stats().view_bytes
        ended = sum(store.delete(token) for token in tokens[::2])
        alive = sum(store.read(token) is not None for token in tokens)
        return {"created": len(tokens), "ended": ended, "alive": alive, "view_bytes": full}


def created_until_full(store: crudjt.Store) -> Iterator[str]:
    while True:
        try:
            yield store.create({"n": "x" * 400}, subject="anna")
        except crudjt.StoreFull:
            return


def compact_and_back_up(path: str, key: str, target: str) -> int:
    """Replace the log by a base, make a backup, and return how many sessions the view says there are."""
    with opened(path, key) as store:
        assert compact(store)
        store.backup(target)
        return store.stats().sessions


def count_and_write(path: str, key: str) -> int:
    """Return how many sessions of Anna a store lists, and let it go through every kind of change."""
    with opened(path, key) as store:
        count = sum(1 for _ in store.sessions("anna"))
        token = store.create({"large": "x" * 20_000})
        token = store.rotate(token) or ""
        assert store.update(token, {"large": "y" * 20_000})
        assert store.read(token)
        assert store.delete(token)
        return count


def rebuild(path: str, key: str) -> int:
    """Make the view again from base and log."""
    (Path(path) / "control").unlink()
    return count_and_write(path, key)


@pytest.mark.slow
@pytest.mark.parametrize("page_bytes", [pytest.param(4096, marks=pytest.mark.long), 16_384, 65_536])
def test_a_store_works_on_pages_of_any_size(
    preloaded: Preloaded, path: Path, secret_key: str, tmp_path: Path, page_bytes: int
) -> None:
    """It fills up to its size, frees room, compacts, is backed up, made again and examined."""
    backup = tmp_path / "backup"
    found = preloaded(page_bytes, fill_and_end, str(path), secret_key)
    assert found["created"] > 3000
    assert MAX_SIZE * 0.8 < found["view_bytes"] <= MAX_SIZE
    assert found["alive"] == found["created"] - found["ended"]
    assert preloaded(page_bytes, compact_and_back_up, str(path), secret_key, str(backup)) == found["alive"]
    for place in (path, backup):
        assert preloaded(page_bytes, count_and_write, str(place), secret_key) == found["alive"]
        assert preloaded(page_bytes, rebuild, str(place), secret_key) == found["alive"]
        assert examine(place).healthy
        assert page_bytes_of(data_file(place)) == page_bytes_of(bases(place)[-1]) == min(page_bytes, 32_768)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made_on", "used_on"),
    [
        (4096, 65_536),
        (65_536, 16_384),
        *(pytest.param(*pages, marks=pytest.mark.long) for pages in [(4096, 16_384), (16_384, 4096)]),
    ],
)
def test_a_store_keeps_the_page_size_of_the_host_that_made_it(
    preloaded: Preloaded, path: Path, secret_key: str, tmp_path: Path, made_on: int, used_on: int
) -> None:
    alive = preloaded(made_on, fill_and_end, str(path), secret_key)["alive"]
    assert preloaded(made_on, compact_and_back_up, str(path), secret_key, str(tmp_path / "backup")) == alive
    for place in (path, tmp_path / "backup"):
        assert preloaded(used_on, count_and_write, str(place), secret_key) == alive
        assert preloaded(used_on, rebuild, str(place), secret_key) == alive
        assert examine(place).healthy
        assert page_bytes_of(data_file(place)) == min(made_on, 32_768)


@pytest.mark.slow
@pytest.mark.parametrize("page_bytes", [4096, pytest.param(16_384, marks=pytest.mark.long), 65_536])
def test_a_damaged_base_of_any_page_size_is_repaired_but_for_the_page_that_is_damaged(
    preloaded: Preloaded, path: Path, secret_key: str, tmp_path: Path, page_bytes: int
) -> None:
    alive = preloaded(page_bytes, fill_and_end, str(path), secret_key)["alive"]
    preloaded(page_bytes, compact_and_back_up, str(path), secret_key, str(tmp_path / "backup"))
    data_file(path).unlink()  # else the session would be found there
    base, size = bases(path)[-1], min(page_bytes, 32_768)
    content = base.read_bytes()
    leaves = [at for at in range(2 * size, len(content), size) if content[at + 10] == LEAF]
    flip(base, leaves[-1])  # its number; the subjects come first
    assert not examine(path).healthy
    report = repair(path)
    assert report.healthy
    left = preloaded(page_bytes, count_and_write, str(path), secret_key)
    assert alive - size // 400 <= left < alive
