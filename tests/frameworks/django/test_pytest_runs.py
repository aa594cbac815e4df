"""The tests of a Django project that pytest runs have a temporary store too, with pytest-django and without it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import crudjt

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

INSTALLATION_SECONDS = 120
PROJECT = {
    "shop/__init__.py": "",
    "shop/settings.py": """
import os

SECRET_KEY = "x"
ROOT_URLCONF = "shop.urls"
SESSION_ENGINE = "crudjt.contrib.django"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
ALLOWED_HOSTS = ["testserver"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
CRUDJT_LOCATION = os.environ["LOCATION"]
""",
    "shop/urls.py": """
from django.http import HttpResponse
from django.urls import path


def visit(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


urlpatterns = [path("", visit)]
""",
    "test_shop.py": """
import os

import pytest
from django.conf import settings
from django.test import Client


def test_the_sessions_are_in_a_temporary_store():
    from crudjt.contrib.django import get_store

    client = Client()
    assert [client.get("/").content for _ in range(2)] == [b"1", b"2"]
    assert get_store().location != settings.CRUDJT_LOCATION
    assert get_store().count() == 1


def test_the_store_of_a_test_is_empty_and_has_a_clock(crudjt_store, crudjt_clock):
    assert crudjt_store.count() == 0
    client = Client()
    client.get("/")
    assert crudjt_store.count() == 1
    crudjt_clock.advance(settings.SESSION_COOKIE_AGE)
    assert client.get("/").content == b"1"
""",
    "test_users.py": """
import pytest
from django.contrib.auth import get_user_model

from crudjt.contrib.django import revoke_user, sessions_of


@pytest.mark.django_db
def test_a_user_is_logged_out(client, crudjt_store):
    user = get_user_model().objects.create_user("ada")
    client.force_login(user)
    assert [each.id for each in crudjt_store.sessions(str(user.pk))] == [each.id for each in sessions_of(user)]
    assert revoke_user(user) == 1
""",
}
CONFTEST = """
import django

from crudjt.contrib.django import get_store

django.setup()
get_store()  # as an application may that opens it at import
"""


@pytest.fixture
def project(
    pytester: pytest.Pytester, store: crudjt.Store, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A project in the working directory, whose settings name the store of the test."""
    for name, content in PROJECT.items():
        file = pytester.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shop.settings")
    monkeypatch.setenv("LOCATION", store.location)
    monkeypatch.setenv("CRUDJT_SECRET_KEY", secret_key)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(pytester.path), *filter(None, sys.path)]))
    return pytester


def test_without_pytest_django_no_test_meets_the_sessions_of_users(
    project: pytest.Pytester, store: crudjt.Store
) -> None:
    store.create({}, subject="1")
    (project.path / "conftest.py").write_text(CONFTEST)
    run = project.runpytest_subprocess("-p", "_crudjt_pytest", "test_shop.py")
    run.assert_outcomes(passed=2)
    assert store.count() == 1


@pytest.mark.timeout(2 * INSTALLATION_SECONDS)
def test_with_pytest_django_no_test_meets_the_sessions_of_users(
    project: pytest.Pytester, store: crudjt.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is installed aside: in the environment of these tests it would take part in all of them."""
    aside = tmp_path / "aside"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    install = [*pip, "install", "--no-deps", "--target", str(aside), "pytest-django>=4.9,<5"]
    subprocess.run(install, check=True, timeout=INSTALLATION_SECONDS)
    monkeypatch.setenv("PYTHONPATH", str(aside), prepend=os.pathsep)
    store.create({}, subject="1")
    run = project.runpytest_subprocess("-p", "pytest_django.plugin", "-p", "_crudjt_pytest")
    run.assert_outcomes(passed=3)
    assert store.count() == 1
