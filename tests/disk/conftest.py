"""The operating system that the stores of these tests see."""

import pytest

from tests.disk.helpers import Machine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)
