"""Settings for Django's own tests."""

from test_sqlite import *  # type: ignore[import-not-found] # noqa: F403 - of Django's tests

SESSION_ENGINE = "crudjt.contrib.django"
