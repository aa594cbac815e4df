"""`record_client`: the client that a session begins for, as each framework gives it."""

from collections.abc import Iterator

import flask
import pytest
from django.test import override_settings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

import crudjt
import crudjt.contrib.flask
import crudjt.contrib.starlette
from crudjt import Client
from crudjt.contrib._sessions.clients import client
from crudjt.contrib.django import use_store
from tests.support.session_sites import SITES, AsgiSite, Site

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
FORWARDED = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}


@pytest.fixture(params=sorted(SITES))
def noting(request: pytest.FixtureRequest, store: crudjt.Store) -> Iterator[Site]:
    """A site that records the clients of its sessions."""
    settings = {} if request.param == "django" else {"record_client": True}
    with override_settings(CRUDJT_RECORD_CLIENT=True), use_store(store):
        site = SITES[request.param](store, **settings)
        site.headers = {"user-agent": FIREFOX, **FORWARDED}
        yield site


def noted(site: Site) -> Client | None:
    session = site.store.peek(site.cookie or "")
    assert session is not None
    return session.client


def test_a_session_notes_its_client_when_it_begins_and_at_each_new_token(noting: Site) -> None:
    address = "testclient" if isinstance(noting, AsgiSite) else "127.0.0.1"  # and not the header of the browser
    noting.request(lambda session: session.update({"a": 1}))
    assert noted(noting) == Client(address, FIREFOX)
    for act in (noting.log_in("ada"), lambda session: session.rotate()):
        noting.headers["user-agent"] = f"{noting.headers['user-agent']} again"
        noting.request(lambda session: session.update({"a": 2}))
        assert noted(noting) != Client(address, noting.headers["user-agent"])
        noting.request(act)
        assert noted(noting) == Client(address, noting.headers["user-agent"])
    assert noting.request(lambda session: dict(session.items())).result == {"a": 2, noting.key: "ada"}


def test_no_client_is_noted_unless_that_is_configured(site: Site) -> None:
    site.headers = {"user-agent": FIREFOX}
    site.request(site.log_in("ada"))
    assert noted(site) is None


def test_long_and_strange_clients_are_shortened_to_what_a_session_holds() -> None:
    assert client("a" * 99, "b" * 999) == Client("a" * 64, "b" * 256)
    assert client("", "\udce9") == Client(None, "?")
    assert client(None, "") is None


@pytest.mark.slow
def test_flask_notes_the_address_that_its_proxy_fix_trusts(store: crudjt.Store) -> None:
    app = flask.Flask(__name__)
    app.config.update(CRUDJT_SUBJECT_KEY="user", CRUDJT_RECORD_CLIENT=True)
    crudjt.contrib.flask.Sessions(app, store=store)
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]

    @app.get("/")
    def log_in() -> str:
        flask.session["user"] = "ada"
        return ""

    app.test_client().get("/", headers=FORWARDED)
    [session] = store.sessions("ada")
    assert session.client is not None
    assert session.client.address == "192.0.2.7"


@pytest.mark.slow
def test_asgi_notes_the_address_that_the_server_trusts(store: crudjt.Store) -> None:
    async def log_in(request: Request) -> Response:
        request.session["user"] = "ada"
        return JSONResponse({})

    async def app(scope: object, receive: object, send: object) -> None:
        request = Request(scope, receive)  # type: ignore[arg-type]
        await (await log_in(request))(scope, receive, send)  # type: ignore[arg-type]

    middleware = crudjt.contrib.starlette.SessionMiddleware(app, store, subject_key="user", record_client=True)
    served = ProxyHeadersMiddleware(middleware, trusted_hosts="*")  # type: ignore[arg-type]
    TestClient(served, base_url="https://testserver").get("/", headers=FORWARDED)  # type: ignore[arg-type]
    [session] = store.sessions("ada")
    assert session.client == Client("192.0.2.7", "testclient")
