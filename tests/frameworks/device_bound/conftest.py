"""A site for each framework, and a browser that is logged in and bound."""

from collections.abc import Iterator

import pytest

import crudjt
from tests.support.device_sites import DEVICE_SITES, DeviceSite
from tests.support.devices import DeviceBrowser

QUICK = "starlette"  # the others run the same core: their drivers are tested in the whole suite
_SITES = [pytest.param(name, marks=[] if name == QUICK else [pytest.mark.slow]) for name in sorted(DEVICE_SITES)]


@pytest.fixture(params=_SITES)
def site(request: pytest.FixtureRequest, store: crudjt.Store) -> Iterator[DeviceSite]:
    site = DEVICE_SITES[request.param](store)
    yield site
    site.close()


@pytest.fixture
def browser(site: DeviceSite) -> DeviceBrowser:
    return DeviceBrowser(site).log_in()
