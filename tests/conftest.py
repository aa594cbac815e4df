"""What the tests share: a secret key, a place for a store, a clock, and an open store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import crudjt
from crudjt.testing import FakeClock


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
