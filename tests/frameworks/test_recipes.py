"""The recipes for other libraries, as the page has them, with the libraries themselves."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import crudjt
from crudjt.contrib.flask import current_store, revoke_user
from tests.support.documents import SITE, blocks, section
from tests.support.processes import PATIENCE
from tests.support.project import ROOT

WEEK = 7 * 24 * 3600


@pytest.fixture
def flask_login(path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the recipe for Flask-Login defines."""
    monkeypatch.setenv("CRUDJT_SECRET_KEY", secret_key)
    page = ModuleType("recipe")
    monkeypatch.setitem(sys.modules, page.__name__, page)
    (block,) = blocks(section("docs/recipes.md", "Flask-Login").replace(SITE, str(path)))
    exec(compile(block, "recipe", "exec"), vars(page))
    yield vars(page)
    page.sessions.close()


def browser(recipe: dict[str, Any], address: str = "", **form: str) -> FlaskClient:
    """Return a browser, which has logged in if an address is given."""
    app: Flask = recipe["app"]
    client = app.test_client()
    if address:
        assert client.post(address, data=form, base_url="https://localhost").status_code == 200
    return client


def me(client: FlaskClient) -> int:
    return client.get("/me", base_url="https://localhost").status_code


def lose_session(client: FlaskClient) -> None:
    client.delete_cookie("session", domain="localhost")


# Flask-Login 0.6.3 asks for the time in a way that Python 3.12 deprecates.
by_remember_cookie = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


def sessions(recipe: dict[str, Any]) -> list[crudjt.Session]:
    """Return the live sessions of the user."""
    with recipe["app"].app_context():
        return list(current_store().sessions(recipe["users"][0].get_id()))


@by_remember_cookie
def test_a_remember_cookie_begins_a_session_of_the_user(flask_login: dict[str, Any]) -> None:
    client = browser(flask_login, "/login", remember="on")
    lose_session(client)
    assert me(client) == 200
    assert len(sessions(flask_login)) == 2


@by_remember_cookie
@pytest.mark.parametrize("stay", [{}, {"stay": "on"}])
def test_to_log_out_everywhere_ends_sessions_and_remember_cookies(
    flask_login: dict[str, Any], stay: dict[str, str]
) -> None:
    asleep, other, here = (browser(flask_login, "/login", remember="on") for _ in range(3))
    lose_session(asleep)
    assert here.post("/logout/everywhere", data=stay, base_url="https://localhost").text == "3"
    assert [me(each) for each in (asleep, other, here)] == [401, 401, 200 if stay else 401]
    assert asleep.get_cookie("remember_token", domain="localhost") is None
    assert asleep.get_cookie("session", domain="localhost") is None
    assert len(sessions(flask_login)) == len(stay)
    assert me(browser(flask_login, "/login")) == 200


@by_remember_cookie
def test_without_a_new_alternative_id_the_remember_cookie_revives_the_session(flask_login: dict[str, Any]) -> None:
    client = browser(flask_login, "/login", remember="on")
    with flask_login["app"].test_request_context():
        assert revoke_user(flask_login["users"][0].get_id()) == 1
    assert me(client) == 200


@by_remember_cookie
def test_a_logout_ends_the_session_and_removes_the_remember_cookie(flask_login: dict[str, Any]) -> None:
    client = browser(flask_login, "/login", remember="on")
    client.post("/logout", base_url="https://localhost")
    assert me(client) == 401
    assert sessions(flask_login) == []


def test_a_session_with_a_lifetime_needs_no_remember_cookie(flask_login: dict[str, Any]) -> None:
    client = browser(flask_login, "/login/simple", remember="on")
    assert client.get_cookie("remember_token", domain="localhost") is None
    (session,) = sessions(flask_login)
    assert session.expires_in is not None
    assert session.expires_in > 4 * WEEK
    with flask_login["app"].test_request_context():
        assert revoke_user(session.subject) == 1
    assert me(client) == 401


@pytest.mark.slow
def test_allauth_logs_in_lists_and_limits_the_sessions_of_a_user(tmp_path: Path, secret_key: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.allauth_site"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "CRUDJT_SECRET_KEY": secret_key},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "remembered for": 2 * WEEK,
        "forgotten for": "",
        "our page": ["Laptop", "Phone"],
        "keys are tokens": True,
        "after a third login": ["", "ada", "ada"],
        "their page": ["Laptop", "Tablet"],
        "after they ended the others": ["", "ada"],
        "ended by revoke_user": 1,
        "after revoke_user": ["", []],
    }
