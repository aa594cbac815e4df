"""Settings for the tests of django-allauth."""

from tests.projects.regular.settings import *  # type: ignore[import-not-found] # noqa: F403 - of its package

SESSION_ENGINE = "crudjt.contrib.django"
