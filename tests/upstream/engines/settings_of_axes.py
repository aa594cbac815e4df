"""Settings for the tests of django-axes."""

from tests.settings import *  # type: ignore[import-not-found] # noqa: F403 - of its package

SESSION_ENGINE = "crudjt.contrib.django"
