"""Django is set up before the tests import anything of it that needs settings."""

import pytest

import crudjt
from crudjt.contrib.django import _store
from tests.support.django_project import urlpatterns


@pytest.fixture
def in_use(store: crudjt.Store, monkeypatch: pytest.MonkeyPatch) -> crudjt.Store:
    """The store of the test is that of Django."""
    assert urlpatterns
    monkeypatch.setattr(_store, "_open", [store])
    return store
