"""The operating system that the stores of these tests see."""

import pytest

from tests.support.disks import Machine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)
