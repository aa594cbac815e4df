"""Sessions that Flask itself and Flask-Session have made go on in the store, once each and until a date."""

import logging
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import redis
from cachelib import SimpleCache
from flask import Flask, session
from flask.testing import FlaskClient

import crudjt
from crudjt.contrib.flask import Sessions
from tests.support.valkey_servers import SingleServer

with warnings.catch_warnings():  # of its own about what it will remove
    warnings.simplefilter("ignore")
    from flask_session import Session as FlaskSession

Way = Callable[[Flask], object]


def application(prepare: Way, store: crudjt.Store | None = None, **config: Any) -> Flask:
    """Return an application with its old sessions, or with those of a store that take them over."""
    app = Flask(__name__)
    app.config.update({"SECRET_KEY": "old", "CRUDJT_SUBJECT_KEY": "user", "CRUDJT_COOKIE_SECURE": False} | config)
    prepare(app)
    if store is not None:
        app.config.setdefault("CRUDJT_TAKE_OVER", {"until": datetime.now(timezone.utc) + timedelta(days=1)})
        Sessions(app, store=store)

    @app.get("/login")
    def login() -> str:
        session["user"] = "alice"
        session["big"] = "x" * app.config.get("BIG", 1)
        return ""

    @app.get("/nothing")
    def nothing() -> str:
        return ""

    @app.get("/who")
    def who() -> str:
        return str(session.get("user"))

    @app.get("/fails")
    def fails() -> tuple[str, int]:
        return who(), 500

    @app.get("/logout")
    def logout() -> str:
        session.clear()
        return ""

    return app


def own(_: Flask) -> None:
    """Leave Flask its signed cookie."""


def cached(cache: SimpleCache) -> Way:
    def prepare(app: Flask) -> None:
        app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=cache)
        FlaskSession(app)

    return prepare


WAYS: dict[str, Callable[[], Way]] = {
    "cookie": lambda: own,
    "Flask-Session": lambda: cached(SimpleCache()),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]()


def cookie_of(browser: FlaskClient) -> str | None:
    cookie = browser.get_cookie("session")
    return None if cookie is None else cookie.value


def old_cookie(way: Way, **config: Any) -> str:
    browser = application(way, **config).test_client()
    browser.get("/login")
    return cookie_of(browser) or ""


def browser_with(app: Flask, cookie: str) -> FlaskClient:
    browser = app.test_client()
    browser.set_cookie("session", cookie)
    return browser


def who(browser: FlaskClient) -> str:
    return browser.get("/who").text


def test_a_user_stays_logged_in_under_a_new_token_and_the_old_cookie_is_dead(way: Way, store: crudjt.Store) -> None:
    cookie = old_cookie(way)
    app = application(way, store)
    browser, late = browser_with(app, cookie), browser_with(app, cookie)
    assert who(browser) == "alice"
    found = store.peek(cookie_of(browser) or "")
    assert found is not None
    assert found.subject == "alice"
    assert who(browser) == "alice"
    for spelling in (cookie, cookie + "=", cookie + "!"):
        late = browser_with(app, spelling)
        assert who(late) == "None"
        assert cookie_of(late) == spelling  # a response that is late must not remove the new one
    if way is not own:
        assert who(browser_with(application(way), cookie)) == "None"


@pytest.mark.slow
def test_a_session_of_a_redis_server_goes_on_and_is_deleted_there(store: crudjt.Store, tmp_path: Path) -> None:
    with SingleServer(tmp_path / "server", "redis") as server:
        kept = redis.Redis(port=server.node.port)

        def way(app: Flask) -> None:
            app.config.update(SESSION_TYPE="redis", SESSION_REDIS=kept)
            FlaskSession(app)

        cookie = old_cookie(way)
        assert kept.keys("session:*")
        assert who(browser_with(application(way, store), cookie)) == "alice"
        assert not kept.keys("session:*")
        assert who(browser_with(application(way, store), cookie)) == "None"
        kept.close()


def test_a_request_that_fails_or_does_not_look_leaves_the_old_session_as_it_is(way: Way, store: crudjt.Store) -> None:
    browser = browser_with(application(way, store), old_cookie(way))
    assert browser.get("/fails").text == "alice"
    browser.get("/nothing")
    assert store.stats().sessions == 0
    assert who(browser) == "alice"


def test_a_logout_in_the_first_request_ends_the_old_session(way: Way, store: crudjt.Store) -> None:
    cookie = old_cookie(way)
    app = application(way, store)
    browser = browser_with(app, cookie)
    browser.get("/logout")
    assert cookie_of(browser) is None
    assert who(browser_with(app, cookie)) == "None"


def test_nothing_is_taken_over_after_the_date_which_is_logged_once(
    way: Way, store: crudjt.Store, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = old_cookie(way)
    app = application(way, store, CRUDJT_TAKE_OVER={"until": datetime(2026, 1, 1, tzinfo=timezone.utc)})
    with caplog.at_level(logging.WARNING):
        assert [who(browser_with(app, cookie)) for _ in range(2)] == ["None", "None"]
    assert caplog.text.count("the date of the take over has passed") == 1
    assert store.stats().sessions == 0


def test_a_hostile_cookie_changes_nothing(way: Way, store: crudjt.Store) -> None:
    app = application(way, store)
    signed = old_cookie(own, SECRET_KEY="another")
    for value in (signed, "x", "A" * 22, "A" * 43, "../" * 9, "a." * 1500, "eyJ1c2VyIjoiYWxpY2UifQ", "..", "."):
        assert who(browser_with(app, value)) == "None"
    assert store.stats().sessions == 0


def test_a_session_that_the_store_refuses_stays_an_old_one(
    store: crudjt.Store, caplog: pytest.LogCaptureFixture
) -> None:
    way = cached(SimpleCache())
    cookie = old_cookie(way, BIG=70_000)
    browser = browser_with(application(way, store), cookie)
    assert [who(browser), who(browser)] == ["alice", "alice"]
    assert "an old session cannot be taken over" in caplog.text
    assert store.stats().sessions == 0


def test_of_two_requests_at_once_one_takes_it_over_and_both_are_served(store: crudjt.Store) -> None:
    app = application(own, store)
    cookie = old_cookie(own)
    first, second = browser_with(app, cookie), browser_with(app, cookie)

    @app.get("/both")
    def both() -> str:
        return str(session.get("user")) + who(first)

    assert second.get("/both").text == "alicealice"
    assert cookie_of(first) != cookie
    assert cookie_of(second) == cookie
    assert len(list(store.sessions("alice"))) == 1


@pytest.mark.parametrize("user", ["alice", "bob", ""])
def test_a_login_and_a_logout_hold_where_another_request_takes_it_over_first(store: crudjt.Store, user: str) -> None:
    app = application(own, store)
    cookie = old_cookie(own)
    first, second = browser_with(app, cookie), browser_with(app, cookie)

    @app.get("/late")
    def late() -> str:
        found = str(session.get("user")) + who(first)
        if user:
            session["user"] = user
        else:
            session.clear()
        return found

    assert second.get("/late").text == "alicealice"
    assert who(first) == "alice"
    if user:
        found = store.peek(cookie_of(second) or "")
        assert found is not None
        assert (found.subject, found.data) == (user, {"user": user})
    else:
        assert cookie_of(second) is None  # it may be that of the session which goes on


def test_a_setting_that_cannot_be_used_is_refused(store: crudjt.Store) -> None:
    for value in ("cookie", {}, {"until": "2027-01-01"}):
        with pytest.raises(crudjt.InvalidParameter, match="CRUDJT_TAKE_OVER"):
            application(own, store, CRUDJT_TAKE_OVER=value)
    with pytest.raises(crudjt.InvalidParameter, match="no other sessions"):
        Sessions(application(own, store), store=store)
