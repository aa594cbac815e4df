"""The pytest plugin: fixtures for the tests of applications, and no store of production in a test run.

It lies outside the package so that pytest, which loads it at the start of every run, imports nothing of crudjt then.
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from crudjt import Store
    from crudjt.testing import FakeClock

_ENGINE = "crudjt.contrib.django"

running: list[pytest.Config] = []
"""The test runs of this process. While there is one, the adapter for Django uses a temporary store."""


def pytest_configure(config: pytest.Config) -> None:
    """Note that tests run, before anything of them is imported."""
    running.append(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Note that they have ended."""
    if config in running:
        running.remove(config)


@pytest.fixture
def crudjt_clock() -> "FakeClock":
    """Return the clock of `crudjt_store`, which moves only when it is told to: crudjt_clock.advance(60)."""
    from crudjt.testing import FakeClock  # noqa: PLC0415 - only for tests that use it

    return FakeClock()


@pytest.fixture
def crudjt_store(crudjt_clock: "FakeClock") -> "Iterator[Store]":
    """Yield an empty store in a temporary directory, in which Django, too, keeps its sessions during the test."""
    from crudjt.testing import temporary_store  # noqa: PLC0415 - as above

    with temporary_store(clock=crudjt_clock) as store, _used_by_django(store):
        yield store


def _used_by_django(store: "Store") -> AbstractContextManager[object]:
    conf: Any = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured or conf.settings.SESSION_ENGINE != _ENGINE:
        return nullcontext()
    use: AbstractContextManager[object] = import_module(_ENGINE).use_store(store)
    return use
