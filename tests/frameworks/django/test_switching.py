"""Sessions that Django's own engines have made go on in the store, once each and until a date."""

import logging
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from importlib import import_module
from typing import Any

import django
import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client, modify_settings, override_settings

import crudjt
from crudjt.contrib.django import SessionStore
from crudjt.contrib.django.checks import check_settings
from tests.support.django_project import PASSWORD

BACKENDS = "django.contrib.sessions.backends"
COOKIE = "sessionid"
TOMORROW = date.today() + timedelta(days=1)  # noqa: DTZ011 - a date is what a setting has

pytestmark = pytest.mark.usefixtures("in_use", "user")


@pytest.fixture(scope="module")
def user() -> Iterator[Any]:
    """A user, and the table of Django's sessions."""
    with modify_settings(INSTALLED_APPS={"append": "django.contrib.sessions"}):
        call_command("migrate", "sessions", verbosity=0)
        made = User.objects.create_user("switches", password=PASSWORD)
        yield made
        made.delete()
        call_command("migrate", "sessions", "zero", verbosity=0)
        ContentType.objects.filter(app_label="sessions").delete()  # with its permissions, which a migration leaves


def settings_of(engine: str, until: object = TOMORROW) -> Any:
    return override_settings(CRUDJT_TAKE_OVER={"engine": f"{BACKENDS}.{engine}", "until": until})


def old_cookie(engine: str) -> str:
    """Return the cookie of a user who has logged in, and whose session has data, before the switch."""
    with override_settings(SESSION_ENGINE=f"{BACKENDS}.{engine}"):
        browser = Client()
        browser.get("/login?user=switches")
        browser.get("/keep?value=7")
        return browser.cookies[COOKIE].value


def browser_with(cookie: str) -> Client:
    browser = Client()
    browser.cookies[COOKIE] = cookie
    return browser


def who(browser: Client) -> str:
    return browser.get("/show").content.decode()


@pytest.mark.parametrize("engine", ["db", "cache", "cached_db", "signed_cookies"])
def test_a_user_stays_logged_in_under_a_new_key_and_the_old_cookie_is_dead(
    engine: str, user: Any, store: crudjt.Store
) -> None:
    cookie = old_cookie(engine)
    with settings_of(engine):
        browser = browser_with(cookie)
        assert who(browser) == "switches"
        session = store.peek(browser.cookies[COOKIE].value)
        assert session is not None
        assert (session.subject, session.data["value"]) == (str(user.pk), "7")
        assert who(browser) == "switches"
        again = browser_with(cookie)
        assert who(again) == ""
        assert again.cookies[COOKIE].value == cookie  # a response that is late must not remove the new one
        assert len(list(store.sessions(str(user.pk)))) == 1
    if engine != "signed_cookies":
        with override_settings(SESSION_ENGINE=f"{BACKENDS}.{engine}"):
            assert who(browser_with(cookie)) == ""


def test_the_end_of_an_old_session_is_kept_and_may_be_one_that_it_has_chosen(store: crudjt.Store) -> None:
    for engine, chosen, least in (("db", None, 4990), ("cache", 700, 690), ("signed_cookies", None, 1209590)):
        with override_settings(SESSION_ENGINE=f"{BACKENDS}.{engine}"):
            session = import_module(f"{BACKENDS}.{engine}").SessionStore()
            session["value"] = "7"
            if chosen:
                session.set_expiry(chosen)
            with override_settings(SESSION_COOKIE_AGE=5000 if engine == "db" else 1209600):
                session.save()
        with settings_of(engine):
            browser = browser_with(session.session_key)
            who(browser)
            taken = store.peek(browser.cookies[COOKIE].value)
        assert taken is not None
        assert taken.expires_in is not None
        assert least < taken.expires_in < least + 11


def test_a_request_that_ends_without_looking_takes_over_where_each_request_saves(user: Any) -> None:
    cookie = old_cookie("db")
    with settings_of("db"), override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        browser = browser_with(cookie)
        browser.get("/unlooked")
        assert browser.cookies[COOKIE].value != cookie
        assert who(browser) == user.username


def test_outside_of_a_request_nothing_is_taken_over_since_no_cookie_can_be_sent(user: Any) -> None:
    cookie = old_cookie("db")
    with settings_of("db"):
        assert dict(SessionStore(cookie).items()) == {}
        assert who(browser_with(cookie)) == user.username


@pytest.mark.skipif(django.VERSION < (5, 1), reason="the session framework has async methods from Django 5.1")
def test_an_asynchronous_view_takes_over(user: Any, store: crudjt.Store) -> None:
    cookie = old_cookie("cache")
    with settings_of("cache"):
        browser = browser_with(cookie)
        assert browser.get("/count").content == b"1"
        found = store.peek(browser.cookies[COOKIE].value)
    assert found is not None
    assert (found.subject, found.data["count"]) == (str(user.pk), 1)


def test_nothing_is_taken_over_after_the_date_which_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    cookies = [old_cookie("db"), old_cookie("db")]
    with settings_of("db", datetime.now(timezone.utc) - timedelta(seconds=1)), caplog.at_level(logging.WARNING):
        assert [who(browser_with(cookie)) for cookie in cookies] == ["", ""]
    assert caplog.text.count("the date of the take over has passed") == 1
    with settings_of("db"):
        assert who(browser_with(cookies[0])) == "switches"


@pytest.mark.parametrize("engine", ["db", "cache", "signed_cookies"])
def test_a_hostile_cookie_changes_nothing(engine: str, store: crudjt.Store) -> None:
    cookie = old_cookie("signed_cookies")
    with settings_of(engine):
        for value in (cookie[:-1] + "!", "x", "A" * 22, "A" * 32, "../" * 9, "é" * 32, "a:" * 2500, "' OR 1=1"):
            browser = browser_with(value)
            assert who(browser) == ""
            assert browser.cookies[COOKIE].value == ""  # Django has removed it
    assert store.stats().sessions == 0


def test_a_session_that_the_store_refuses_stays_an_old_one(
    store: crudjt.Store, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = old_cookie("db")
    with override_settings(SESSION_ENGINE=f"{BACKENDS}.db"):
        browser_with(cookie).get("/keep", {"value": "x" * 70_000})
    with settings_of("db"):
        assert who(browser_with(cookie)) == ""
        assert "an old session cannot be taken over" in caplog.text
        assert store.stats().sessions == 0
        with override_settings(SESSION_ENGINE=f"{BACKENDS}.db"):
            browser_with(cookie).get("/keep?value=8")
        assert who(browser_with(cookie)) == "switches"


def test_a_session_whose_engine_fails_stays_an_old_one(user: Any) -> None:
    cookie = old_cookie("db")
    asked = list[str]()

    def fail_at_the_second(execute: Any, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        if len(asked) == 2:
            raise OperationalError
        return execute(sql, *rest)

    with settings_of("db"):
        with connection.execute_wrapper(fail_at_the_second), pytest.raises(OperationalError):
            who(browser_with(cookie))
        assert who(browser_with(cookie)) == user.username


def test_the_check_names_what_is_wrong_with_the_setting() -> None:
    wrong: list[Any] = [
        "db",
        {"engine": f"{BACKENDS}.db"},
        {"engine": f"{BACKENDS}.db", "until": "2027-01-01"},
        {"engine": f"{BACKENDS}.db", "until": datetime(2027, 1, 1)},  # noqa: DTZ001 - that is what is wrong
        {"engine": "no.such.module", "until": TOMORROW},
        {"engine": "crudjt.contrib.django", "until": TOMORROW},
    ]
    for value in wrong:
        with override_settings(CRUDJT_TAKE_OVER=value):
            assert [each.id for each in check_settings() if each.id == "crudjt.E006"] == ["crudjt.E006"]
    with settings_of("db"):
        assert not [each for each in check_settings() if each.id in {"crudjt.E006", "crudjt.W001"}]
