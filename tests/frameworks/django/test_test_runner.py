"""The tests of a Django project have a temporary store, and never that of the application."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import override_settings, utils

import crudjt
from crudjt.contrib.django import SessionStore, get_store

SETTINGS = """
import os

SECRET_KEY = "x"
ROOT_URLCONF = "shop.urls"
SESSION_ENGINE = "crudjt.contrib.django"
INSTALLED_APPS = ["crudjt.contrib.django", "django.contrib.contenttypes", "django.contrib.auth", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
CRUDJT_LOCATION = os.environ["LOCATION"]
"""

MODELS = """
from crudjt.contrib.django import get_store

OPENED_AT_START = get_store().location  # before the tests are set up
"""

TESTS = """
import os
import pathlib
import time

from crudjt.contrib.django import get_store, revoke_user
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import TestCase

from shop import models

get_store()  # in the first process, from which the others are forked
assert settings.CRUDJT_LOCATION not in (models.OPENED_AT_START, get_store().location)


class Logout(TestCase):
    def check(self):
        user = get_user_model().objects.create_user("bob")
        self.client.force_login(user)
        places = pathlib.Path(os.environ["PLACES"])
        (places / str(os.getpid())).write_text(get_store().location)
        while len(list(places.iterdir())) < int(os.environ["PROCESSES"]):
            time.sleep(0.01)
        self.assertEqual(revoke_user(user), 1)

    def test_it(self):
        self.check()


class OtherLogout(Logout):
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shop = tmp_path / "project" / "shop"
    shop.mkdir(parents=True)
    files = {"__init__": "", "urls": "urlpatterns = []\n", "settings": SETTINGS, "models": MODELS, "tests": TESTS}
    for name, content in files.items():
        (shop / f"{name}.py").write_text(content)
    return shop.parent


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.slow
def test_tests_run_in_temporary_stores_one_for_each_process(
    project: Path, tmp_path: Path, store: crudjt.Store, secret_key: str, processes: int
) -> None:
    real = store.create({"_auth_user_id": "1"}, subject="1")
    places, scratch = tmp_path / "places", tmp_path / "scratch"
    places.mkdir()
    scratch.mkdir()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "LOCATION": store.location,
        "CRUDJT_SECRET_KEY": secret_key,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(project), *sys.path])),
        "PLACES": str(places),
        "PROCESSES": str(processes),
        "TMPDIR": str(scratch),
    }
    command = [sys.executable, "-m", "django", "test", "--parallel", str(processes)]
    ended = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "Ran 2 tests" in ended.stderr
    used = {place.read_text() for place in places.iterdir()}
    assert len(used) == processes
    assert store.location not in used
    assert store.peek(real) is not None
    assert list(scratch.glob("crudjt-tests-*")) == []


def test_the_test_environment_begins_and_ends_with_a_temporary_store(path: Path, secret_key: str) -> None:
    """Also where the application opened its store before the tests began."""
    with override_settings(CRUDJT_LOCATION=path, CRUDJT_SECRET_KEY=secret_key):
        own = SessionStore()
        own.save()
    utils.setup_test_environment()
    try:
        temporary = get_store()
        assert get_store() is temporary
        assert temporary.location != str(path)
        with override_settings(CRUDJT_LOCATION=path, CRUDJT_SECRET_KEY=secret_key):
            assert get_store().location == str(path)
            assert SessionStore().exists(own.session_key)
        assert not SessionStore().exists(own.session_key)
    finally:
        utils.teardown_test_environment()
    with override_settings(CRUDJT_LOCATION=path, CRUDJT_SECRET_KEY=secret_key):
        assert get_store().location == str(path)
