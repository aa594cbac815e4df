"""The operating system that the stores of these tests see, and a process that forks others."""

from collections.abc import Iterator

import pytest

from tests.support.disks import Machine
from tests.support.processes import Forker


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture(scope="module")
def forkers() -> Iterator[list[Forker]]:
    forkers: list[Forker] = []
    yield forkers
    for forker in forkers:
        forker.end()


@pytest.fixture
def forker(forkers: list[Forker]) -> Forker:
    """The one that the tests share, as long as none of them failed half-way and left it with work to do."""
    if not forkers or forkers[-1].is_at_work:
        forkers.append(Forker())
    return forkers[-1]
