"""A clock that starts at the time of this host, since the frameworks read that for themselves."""

import time

import pytest

from crudjt.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(int(time.time()))
