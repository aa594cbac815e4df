"""A site of each framework; a clock that starts at the time of this host, which the frameworks read for themselves."""

import time
from collections.abc import Iterator

import pytest

import crudjt
from crudjt.contrib.django import use_store
from crudjt.testing import FakeClock
from tests.support.session_sites import SITES, Site


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(int(time.time()))


@pytest.fixture(params=sorted(SITES))
def site(request: pytest.FixtureRequest, store: crudjt.Store) -> Iterator[Site]:
    with use_store(store):  # which only Django heeds
        yield SITES[request.param](store)
