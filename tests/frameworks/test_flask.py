"""Sessions of Flask: what Flask's own do, and what a secure store owes."""

import gc
import importlib
import importlib.metadata
import sys
import weakref
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, flash, render_template_string, session
from flask.testing import FlaskClient
from hypothesis import given
from markupsafe import Markup
from werkzeug.test import TestResponse

import crudjt
from crudjt.contrib._sessions.markup import tagged, untagged
from crudjt.contrib.flask import Sessions, current_session, current_store, end_session, revoke_user, sessions_of
from crudjt.testing import FakeClock
from tests.support.remote_server import ServedStore
from tests.support.types import EXAMPLES, VALUES, typed

UNKNOWN = "A" * 22
LIFETIME = 31 * 86_400


def application(store: crudjt.Store | None = None, **config: Any) -> Flask:
    """Return an application whose pages do to the session what their names say."""
    app = Flask(__name__)
    app.config.update({"TESTING": True, "CRUDJT_SUBJECT_KEY": "_user_id"} | config)
    Sessions(app, store=store)

    @app.get("/nothing")
    def nothing() -> str:
        return ""

    @app.get("/show")
    def show() -> dict[str, Any]:
        return dict(session)

    @app.get("/set/<key>/<value>")
    def put(key: str, value: str) -> str:
        session[key] = value
        return ""

    @app.get("/permanent/<key>/<value>")
    def permanent(key: str, value: str) -> str:
        session.permanent = True
        return put(key, value)

    @app.get("/remove/<key>")
    def remove(key: str) -> str:
        del session[key]
        return ""

    @app.get("/clear")
    def clear() -> str:
        session.clear()
        return ""

    @app.get("/rotate")
    def rotate() -> str:
        current_session().rotate()
        return ""

    return app


@pytest.fixture
def app(store: crudjt.Store) -> Flask:
    return application(store)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def token_of(client: FlaskClient) -> str:
    cookie = client.get_cookie("session")
    return "" if cookie is None else cookie.value


def with_cookie(app: Flask, token: str) -> FlaskClient:
    client = app.test_client()
    client.set_cookie("session", token)
    return client


def cookie_set(response: TestResponse) -> dict[str, str]:
    """Return the attributes of the session's cookie in a response, their names in lower case."""
    header = response.headers.get("Set-Cookie", "")
    pairs = [each.strip().partition("=") for each in header.split(";") if each]
    return {name.lower(): value for name, _, value in pairs}


def test_what_one_request_sets_the_next_one_finds(client: FlaskClient) -> None:
    client.get("/set/name/Ada")
    client.get("/set/role/8")
    client.get("/remove/role")
    assert client.get("/show").json == {"name": "Ada"}


def test_the_cookie_holds_a_token_and_no_data(client: FlaskClient, store: crudjt.Store) -> None:
    client.get("/set/name/Ada")
    stored = store.peek(token_of(client))
    assert stored is not None
    assert stored.data == {"name": "Ada"}


def test_the_cookie_is_safe_by_default(client: FlaskClient) -> None:
    cookie = cookie_set(client.get("/set/name/Ada"))
    assert cookie.keys() == {"session", "secure", "httponly", "path", "samesite"}
    assert (cookie["samesite"], cookie["path"]) == ("Lax", "/")


def test_the_cookie_is_as_the_configuration_says(store: crudjt.Store) -> None:
    app = application(
        store,
        CRUDJT_COOKIE_SECURE=False,
        SESSION_COOKIE_NAME="sid",
        SESSION_COOKIE_PATH="/show",
        SESSION_COOKIE_DOMAIN="example.org",
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_HTTPONLY=False,
    )
    cookie = cookie_set(app.test_client().get("/set/name/Ada"))
    assert cookie.pop("sid")
    assert cookie == {"path": "/show", "domain": "example.org", "samesite": "Strict"}


def test_the_cookie_stays_secure_where_flask_says_so(store: crudjt.Store) -> None:
    app = application(store, CRUDJT_COOKIE_SECURE=False, SESSION_COOKIE_SECURE=True)
    assert "secure" in cookie_set(app.test_client().get("/set/name/Ada"))


@pytest.mark.parametrize("token", [UNKNOWN, "short", "x" * 3000, "..%2f..%2f"])
def test_a_cookie_that_the_store_did_not_mint_is_never_adopted(app: Flask, store: crudjt.Store, token: str) -> None:
    client = with_cookie(app, token)
    assert client.get("/show").json == {}
    client.get("/set/name/Ada")
    assert token_of(client) != token
    assert store.peek(token) is None


def test_the_token_of_a_link_that_works_once_is_no_session(app: Flask, store: crudjt.Store) -> None:
    for reads in (1, 2):
        assert with_cookie(app, store.create({"_user_id": "ada"}, max_reads=reads)).get("/show").json == {}


def test_a_cookie_that_names_no_session_is_logged_without_its_value(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "crudjt.contrib")
    with_cookie(app, UNKNOWN).get("/show")
    assert "names no live session" in caplog.text
    assert UNKNOWN not in caplog.text


def test_a_request_that_changes_nothing_writes_nothing_and_sets_no_cookie(
    client: FlaskClient, store: crudjt.Store
) -> None:
    client.get("/set/name/Ada")
    before = store.stats().log_bytes
    for page in ("/nothing", "/show"):
        assert "Set-Cookie" not in client.get(page).headers
    assert store.stats().log_bytes == before


def test_a_request_without_a_session_makes_none(client: FlaskClient, store: crudjt.Store) -> None:
    for page in ("/nothing", "/show", "/rotate", "/clear"):
        assert token_of(client) == ""
        client.get(page)
    assert store.stats().sessions == 0


def test_pages_that_look_at_the_session_vary_by_cookie(client: FlaskClient) -> None:
    assert "Vary" not in client.get("/nothing").headers
    for page in ("/show", "/set/name/Ada", "/clear"):
        assert client.get(page).headers["Vary"] == "Cookie"


def test_a_page_that_brings_a_new_token_is_kept_by_no_cache(client: FlaskClient) -> None:
    assert client.get("/permanent/name/Ada").headers["Cache-Control"] == "no-store"
    assert "Cache-Control" not in client.get("/nothing").headers
    assert client.get("/rotate").headers["Cache-Control"] == "no-store"


def test_a_session_that_is_emptied_ends_and_its_cookie_goes(
    app: Flask, client: FlaskClient, store: crudjt.Store
) -> None:
    client.get("/set/name/Ada")
    token = token_of(client)
    response = client.get("/clear")
    assert cookie_set(response)["max-age"] == "0"
    assert with_cookie(app, token).get("/show").json == {}
    assert store.stats().sessions == 0


def test_a_cookie_is_removed_with_its_attributes(store: crudjt.Store) -> None:
    """A browser keeps one whose path, domain or partition differs, and takes no removal that lacks `Secure`."""
    app = application(
        store,
        SESSION_COOKIE_NAME="sid",
        SESSION_COOKIE_DOMAIN="example.org",
        SESSION_COOKIE_PATH="/shop",
        SESSION_COOKIE_PARTITIONED=True,
    )
    client = app.test_client(use_cookies=False)
    given = cookie_set(client.get("/set/name/Ada"))
    removed = cookie_set(client.get("/clear", headers={"Cookie": f"sid={given.pop('sid')}"}))
    assert (removed.pop("sid"), removed.pop("max-age")) == ("", "0")
    del removed["expires"]
    assert removed == given


def test_rotate_gives_a_new_token_to_the_same_data_and_kills_the_old_one(app: Flask, client: FlaskClient) -> None:
    client.get("/set/name/Ada")
    old = token_of(client)
    client.get("/rotate")
    assert token_of(client) != old
    assert client.get("/show").json == {"name": "Ada"}
    assert with_cookie(app, old).get("/show").json == {}


def test_a_login_gives_a_new_token_and_files_the_session_under_the_user(
    app: Flask, client: FlaskClient, store: crudjt.Store
) -> None:
    client.get("/set/cart/7")
    old = token_of(client)
    client.get("/set/_user_id/ada")
    assert token_of(client) != old
    assert with_cookie(app, old).get("/show").json == {}
    assert client.get("/show").json == {"cart": "7", "_user_id": "ada"}
    assert len(list(store.sessions("ada"))) == 1


def test_the_key_of_the_user_may_be_another(store: crudjt.Store) -> None:
    client = application(store, CRUDJT_SUBJECT_KEY="user").test_client()
    client.get("/set/user/ada")
    assert len(list(store.sessions("ada"))) == 1


def test_a_session_from_before_the_user_had_a_key_is_filed_when_it_is_set_again(store: crudjt.Store) -> None:
    client = with_cookie(application(store, CRUDJT_SUBJECT_KEY="user"), store.create({"user": "ada"}))
    client.get("/set/user/ada")
    assert len(list(store.sessions("ada"))) == 1


# A session that ends, and requests at the same time


@pytest.fixture
def late(app: Flask) -> Any:
    """Pages that do something in the middle of a request, as another request would: `late.client.get("/late")`."""

    class Late:
        client = app.test_client()

        def meanwhile(self) -> None:
            """Do what the other request does."""

        def change(self) -> None:
            session["mine"] = 1

    late = Late()

    @app.get("/late")
    def page() -> str:
        late.change()
        late.meanwhile()
        return ""

    late.client.get("/set/name/Ada")
    return late


@pytest.mark.parametrize("change", ["set", "rotate", "touch"])
def test_a_session_that_ended_meanwhile_stays_ended(late: Any, store: crudjt.Store, change: str) -> None:
    changes = {
        "set": late.change,
        "rotate": lambda: current_session().rotate(),
        "touch": lambda: session.update(name="Ada"),
    }
    late.change = changes[change]
    late.meanwhile = lambda: store.delete(token_of(late.client))
    response = late.client.get("/late")
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers
    assert store.stats().sessions == 0


def test_a_session_that_ends_before_it_is_rotated_stays_ended(
    late: Any, store: crudjt.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate = store.rotate
    monkeypatch.setattr(store, "rotate", lambda token, **more: store.delete(token) and rotate(token, **more))
    assert "Set-Cookie" not in late.client.get("/rotate").headers
    assert store.stats().sessions == 0


def test_two_requests_of_a_session_keep_each_others_changes(app: Flask, late: Any) -> None:
    other = with_cookie(app, token_of(late.client))
    late.meanwhile = lambda: (other.get("/set/theirs/2"), other.get("/remove/name"))
    late.client.get("/late")
    assert late.client.get("/show").json == {"mine": 1, "theirs": "2"}


def test_data_that_cannot_be_stored_is_an_error_and_the_session_stays_as_it_was(late: Any) -> None:
    late.change = lambda: session.update(name=object())
    with pytest.raises(crudjt.InvalidParameter):
        late.client.get("/late")
    assert late.client.get("/show").json == {"name": "Ada"}


def test_values_that_are_texts_by_inheritance_are_kept_as_such(late: Any) -> None:
    late.change = lambda: session.update(name=Markup("<b>"))
    late.client.get("/late")
    assert late.client.get("/show").json == {"name": "<b>"}


def test_a_change_within_a_value_is_kept(late: Any) -> None:
    late.change = lambda: session.update(cart=[7])
    late.client.get("/late")
    late.change = lambda: session["cart"].append(8)
    late.client.get("/late")
    assert late.client.get("/show").json["cart"] == [7, 8]


def test_a_session_knows_its_handle_and_whether_it_is_new(late: Any, store: crudjt.Store) -> None:
    seen: list[Any] = []
    late.change = lambda: seen.extend([current_session().new, current_session().id, repr(current_session())])
    late.client.get("/late")
    stored = store.peek(token_of(late.client))
    assert stored is not None
    assert seen == [False, stored.id, "<StoredSession of 1 keys>"]
    seen.clear()
    late.client.delete_cookie("session")
    late.client.get("/late")
    assert seen == [True, None, "<StoredSession of 0 keys>"]


def test_a_store_that_fails_is_no_logout(client: FlaskClient, store: crudjt.Store) -> None:
    client.get("/set/name/Ada")
    store.close()
    with pytest.raises(crudjt.StoreClosed):
        client.get("/show")


# How long


def test_a_session_of_the_browser_lives_in_the_store_for_the_lifetime_after_its_last_change(
    client: FlaskClient, clock: FakeClock
) -> None:
    assert "expires" not in cookie_set(client.get("/set/name/Ada"))
    clock.advance(LIFETIME - 1)
    client.get("/set/name/Ada")
    clock.advance(LIFETIME - 1)
    assert client.get("/show").json == {"name": "Ada"}
    clock.advance(1)
    assert client.get("/show").json == {}


def test_a_permanent_session_lives_on_while_it_is_used(
    client: FlaskClient, store: crudjt.Store, clock: FakeClock
) -> None:
    cookie = cookie_set(client.get("/permanent/name/Ada"))
    ends = datetime.strptime(cookie["expires"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=timezone.utc)
    assert abs(ends - datetime.now(timezone.utc) - timedelta(seconds=LIFETIME)) < timedelta(hours=1)
    before = store.stats().log_bytes
    assert "expires" in cookie_set(client.get("/nothing"))
    assert store.stats().log_bytes == before
    for _ in range(3):
        clock.advance(LIFETIME - 1)
        assert "expires" in cookie_set(client.get("/nothing"))
    clock.advance(LIFETIME)
    assert client.get("/show").json == {}


def test_a_permanent_session_that_is_not_refreshed_ends_after_the_lifetime(
    store: crudjt.Store, clock: FakeClock
) -> None:
    client = application(store, SESSION_REFRESH_EACH_REQUEST=False, PERMANENT_SESSION_LIFETIME=60).test_client()
    client.get("/permanent/name/Ada")
    clock.advance(59)
    assert "Set-Cookie" not in client.get("/show").headers
    clock.advance(1)
    assert client.get("/show").json == {}


def test_an_idle_timeout_ends_a_session_that_nobody_uses(store: crudjt.Store, clock: FakeClock) -> None:
    client = application(store, CRUDJT_IDLE_TIMEOUT=600).test_client()
    client.get("/set/name/Ada")
    for _ in range(3):
        clock.advance(599)
        assert client.get("/show").json == {"name": "Ada"}
    clock.advance(600)
    assert client.get("/show").json == {}


@pytest.mark.parametrize("page", ["set", "permanent"])
def test_an_absolute_timeout_ends_a_session_however_often_it_is_used(
    store: crudjt.Store, clock: FakeClock, page: str
) -> None:
    client = application(store, CRUDJT_ABSOLUTE_TIMEOUT=3600).test_client()
    client.get(f"/{page}/name/Ada")
    for count in range(3):
        clock.advance(1000)
        client.get(f"/{page}/count/{count}")
        client.get("/rotate")
    clock.advance(599)
    assert client.get("/show").get_json()["count"] == "2"
    clock.advance(1)
    assert client.get("/show").json == {}


# The sessions of a user


def test_a_store_on_a_server_serves_as_well(path: Path, secret_key: str) -> None:
    with ServedStore(path, secret_key=secret_key) as store:
        app = application(store)
        here, there = app.test_client(), app.test_client()
        for client in (here, there):
            client.get("/set/_user_id/ada")
            client.get("/set/cart/7")
            client.get("/rotate")
        assert here.get("/show").json == {"_user_id": "ada", "cart": "7"}
        with app.app_context():
            assert revoke_user("ada") == 2
        assert there.get("/show").json == {}


def test_a_user_ends_own_sessions_and_no_others(app: Flask) -> None:
    here, there, grace = (app.test_client() for _ in range(3))
    here.get("/set/_user_id/ada")
    there.get("/set/_user_id/ada")
    grace.get("/set/_user_id/grace")
    with app.app_context():
        session_there = current_store().peek(token_of(there))
        assert session_there is not None
        handle = session_there.id
        assert handle in {each.id for each in sessions_of("ada")}
        assert not end_session("grace", handle)
        assert there.get("/show").json == {"_user_id": "ada"}
        assert end_session("ada", handle)
    assert there.get("/show").json == {}
    assert here.get("/show").json == {"_user_id": "ada"}


def test_a_user_is_logged_out_everywhere_in_one_call(app: Flask, late: Any) -> None:
    for _ in range(2):
        app.test_client().get("/set/_user_id/ada")
    late.client.get("/set/_user_id/ada")
    late.change = lambda: revoke_user("ada", keep_current=True)
    late.client.get("/late")
    assert late.client.get("/show").json["_user_id"] == "ada"
    with app.app_context():
        assert len(sessions_of("ada")) == 1
        assert revoke_user("ada") == 1
    assert late.client.get("/show").json == {}


# Types of values


def test_values_keep_their_types_and_flashed_markup_stays_markup(store: crudjt.Store) -> None:
    app = application(store, CRUDJT_COOKIE_SECURE=False)
    data = {**EXAMPLES, "markup": Markup("<b>"), "nested": [({"a": Markup("<i>")},)], "bytes": b"\xff"}
    lookalikes = [{" m": "text"}, {" m_": Markup("<b>")}, {" m__": {" m": 1}}, {" m": 1, "b": 2}, {1: " m"}]
    found: dict[str, Any] = {}

    @app.get("/values")
    def put_values() -> str:
        session.update(data, lookalikes=lookalikes)
        flash(Markup("<a>undo</a>"))
        flash("<a>text</a>")
        return ""

    @app.get("/found")
    def get() -> str:
        found.update(session)
        return render_template_string("{% for each in get_flashed_messages() %}{{ each }}{% endfor %}")

    client = app.test_client()
    client.get("/values")
    assert client.get("/found").text == "<a>undo</a>&lt;a&gt;text&lt;/a&gt;"
    assert typed({key: found[key] for key in data}) == typed(data)
    assert typed(found["lookalikes"]) == typed(lookalikes)


@given(value=VALUES)
def test_every_value_survives_beside_markup(value: Any) -> None:
    assert typed(untagged(tagged({" m": value}))) == typed({" m": value})
    assert typed(untagged(tagged([value, Markup("<b>")]))) == typed([value, Markup("<b>")])


def test_markup_of_another_request_stays_markup(store: crudjt.Store) -> None:
    app = application(store, CRUDJT_COOKIE_SECURE=False)
    client = app.test_client()
    found: list[Any] = []

    @app.get("/theirs")
    def theirs() -> str:
        session["theirs"] = Markup("<b>")
        return ""

    @app.get("/mine")
    def mine() -> str:
        session["mine"] = 1
        with_cookie(app, token_of(client)).get("/theirs")
        return ""

    @app.get("/look")
    def look() -> str:
        found.append(dict(session))
        return ""

    client.get("/set/name/Ada")
    client.get("/mine")
    client.get("/look")
    assert found == [{"name": "Ada", "mine": 1, "theirs": "<b>"}]
    assert type(found[0]["theirs"]) is Markup


# The configuration


def test_the_configuration_describes_the_store(path: Path, secret_key: str) -> None:
    app = application(CRUDJT_LOCATION=path, CRUDJT_SECRET_KEY=secret_key, CRUDJT_MAX_DATA_BYTES=100)
    with app.app_context(), current_store():
        client = app.test_client()
        client.get("/set/name/Ada")
        assert client.get("/show").json == {"name": "Ada"}
        with pytest.raises(crudjt.DataTooLarge, match="CRUDJT_MAX_DATA_BYTES"):
            client.get(f"/set/name/{'x' * 200}")
    assert (path / "manifest").exists()


def test_an_application_without_a_secret_key_does_not_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRUDJT_SECRET_KEY", raising=False)
    monkeypatch.delenv("CRUDJT_SECRET_KEY_FILE", raising=False)
    with pytest.raises(crudjt.InvalidParameter, match="no secret key"):
        application(CRUDJT_LOCATION=path)


@pytest.mark.parametrize(
    "config",
    [
        {"CRUDJT_LOCATOIN": "x"},
        {"CRUDJT_IDLE_TIMEOUT": "1h"},
        {"CRUDJT_ABSOLUTE_TIMEOUT": -1},
        {"CRUDJT_MAX_SESSIONS": 0},
    ],
)
def test_a_wrong_configuration_is_named(store: crudjt.Store, config: dict[str, Any]) -> None:
    with pytest.raises(crudjt.InvalidParameter, match=next(iter(config))):
        application(store, **config)


def test_a_misspelt_setting_is_corrected(store: crudjt.Store) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        application(store, CRUDJT_COOKIE_SECUR=False)
    assert str(caught.value) == "there is no setting CRUDJT_COOKIE_SECUR; did you mean CRUDJT_COOKIE_SECURE?"


@pytest.mark.parametrize(
    "call", [current_session, current_store, lambda: sessions_of("ada"), lambda: revoke_user("ada")]
)
def test_an_application_without_sessions_says_what_to_call(call: Callable[[], object]) -> None:
    with Flask(__name__).test_request_context(), pytest.raises(RuntimeError) as caught:
        call()
    assert str(caught.value) == "the application has no sessions of crudjt: call Sessions(app) first"


def test_several_applications_have_their_own_stores(tmp_path: Path, secret_key: str) -> None:
    sessions = Sessions()
    apps = [Flask("one"), Flask("other")]
    for app in apps:
        app.config.update(CRUDJT_LOCATION=tmp_path / app.name, CRUDJT_SECRET_KEY=secret_key, CRUDJT_SUBJECT_KEY=None)
        sessions.init_app(app)
    stores = []
    for app in apps:
        with app.app_context():
            stores.append(current_store())
    assert stores[0] is not stores[1]
    sessions.close()
    for store in stores:
        with pytest.raises(crudjt.StoreClosed):
            store.stats()


def test_an_application_that_is_dropped_drops_its_store(path: Path, secret_key: str) -> None:
    """The store then closes by itself: `test_collected.py`."""
    app = application(CRUDJT_LOCATION=path, CRUDJT_SECRET_KEY=secret_key)
    with app.app_context():
        store = weakref.ref(current_store())
    app.test_client().get("/set/name/Ada")
    del app
    gc.collect()
    assert store() is None


def test_a_store_that_was_given_stays_open(store: crudjt.Store) -> None:
    sessions = Sessions(store=store)
    sessions.close()
    assert store.stats().sessions == 0


def test_an_application_that_does_not_name_the_key_of_the_user_does_not_start(store: crudjt.Store) -> None:
    with pytest.raises(crudjt.InvalidParameter, match="CRUDJT_SUBJECT_KEY is not set"):
        Sessions(Flask(__name__), store=store)


def test_an_older_flask_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _name: "3.1.2")
    monkeypatch.delitem(sys.modules, "crudjt.contrib.flask")
    with pytest.raises(ImportError, match=r"needs Flask 3\.1\.3 or newer, and Flask 3\.1\.2 is installed"):
        importlib.import_module("crudjt.contrib.flask")


def test_without_a_key_of_the_user_the_application_assigns_the_subject(store: crudjt.Store) -> None:
    app = application(store, CRUDJT_SUBJECT_KEY=None)

    @app.get("/login")
    def login() -> str:
        current_session().subject = "ada"
        return ""

    client = app.test_client()
    client.get("/set/cart/7")
    planted = token_of(client)
    client.get("/login")
    assert token_of(client) != planted
    assert [each.data for each in store.sessions("ada")] == [{"cart": "7"}]
    client.get("/set/cart/8")
    assert [each.data for each in store.sessions("ada")] == [{"cart": "8"}]


def test_a_lifetime_that_another_request_sets_is_not_undone(
    app: Flask, late: Any, store: crudjt.Store, clock: FakeClock
) -> None:
    other = with_cookie(app, token_of(late.client))
    late.meanwhile = lambda: other.get("/permanent/theirs/1")
    late.client.get("/late")
    assert late.client.get("/show").json == {"name": "Ada", "mine": 1, "theirs": "1", "_permanent": True}
    for _ in range(2):  # it lives on while it is used
        stored = store.peek(token_of(late.client))
        assert stored is not None
        assert (stored.expires_in, stored.version) == (LIFETIME, 3)  # each request has written once
        clock.advance(LIFETIME - 1)
        assert late.client.get("/show").json
