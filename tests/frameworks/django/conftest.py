"""Django is set up before the tests import anything of it that needs settings."""

from collections.abc import Iterator

import pytest

import crudjt
from crudjt.contrib.django import use_store
from tests.support.django_project import urlpatterns


@pytest.fixture
def in_use(store: crudjt.Store) -> Iterator[crudjt.Store]:
    """The store of the test is that of Django."""
    assert urlpatterns
    with use_store(store):
        yield store
