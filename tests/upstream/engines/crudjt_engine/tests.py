"""Django's tests of a session engine, for ours."""

from django.test import SimpleTestCase
from sessions_tests.tests import SessionTestsMixin  # type: ignore[import-not-found] # of its tests

from crudjt.contrib.django import SessionStore


class CrudjtSessionTests(SessionTestsMixin, SimpleTestCase):  # type: ignore[misc] # as above
    backend = SessionStore
