"""What the tests share: a secret key, a place for a store, a clock, and an open store."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import crudjt
from crudjt.testing import FakeClock

_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 4 * 1024**3


def pytest_configure(config: pytest.Config) -> None:
    """Put the stores of the tests into memory where there is room, unless told where to put them.

    They are opened thousands of times, and wait for the disk at each. A test that is about a file system mounts it.
    """
    told = config.option.basetemp or "TMPDIR" in os.environ or "PYTEST_DEBUG_TEMPROOT" in os.environ
    if not told and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ENOUGH_BYTES:
        os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_MEMORY)
        tempfile.tempdir = None  # to be looked up again


@pytest.fixture(scope="session")
def secret_key() -> str:
    return crudjt.generate_secret_key()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(path: Path, secret_key: str, clock: FakeClock) -> Iterator[crudjt.Store]:
    with crudjt.open(path, secret_key=secret_key, clock=clock) as store:
        yield store
