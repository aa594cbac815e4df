"""A session of an older secret key gets a token under the newest, at the next request that looks at it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

import crudjt
from crudjt._core.key_uses import HasKeys
from crudjt.contrib.django import use_store
from crudjt.contrib.starlette import SessionMiddleware, session_of, still_alive
from crudjt.testing import FakeClock
from tests.support.session_sites import SITES, Site

OpenSite = Callable[..., Any]


@pytest.fixture(params=sorted(SITES))
def open_site(request: pytest.FixtureRequest, path: Path, clock: FakeClock) -> OpenSite:
    """Return what opens the site of a framework, with some secret keys."""

    @contextmanager
    def opened(*keys: str, **settings: Any) -> Iterator[Site]:
        django = {f"CRUDJT_{name.upper()}": value for name, value in settings.items()}
        with crudjt.open(path, secret_key=keys, clock=clock) as store, override_settings(**django), use_store(store):
            yield SITES[request.param](store, **({} if request.param == "django" else settings))

    return opened


@pytest.fixture
def old(open_site: OpenSite, secret_key: str) -> str:
    """The cookie of a user who logged in with the old key."""
    with open_site(secret_key) as site:
        site.request(site.log_in("ada"))
        assert site.cookie
        return str(site.cookie)


def looked_at(session: Any) -> dict[str, Any]:
    return dict(session.items())


def test_a_session_moves_to_the_newest_key_once_and_stays_what_it_was(
    open_site: OpenSite, old: str, secret_key: str
) -> None:
    with open_site(secret_key, crudjt.generate_secret_key()) as site:
        site.cookie = old
        before = site.store.peek(old)
        assert site.request(looked_at).result == {site.key: "ada"}
        new = site.cookie
        assert new not in (old, None)
        assert site.store.peek(old) is None
        after = site.store.peek(new)
        assert (after.subject, after.data, after.created_at) == (before.subject, before.data, before.created_at)
        assert isinstance(site.store, HasKeys)
        assert [use.sessions for use in site.store.key_uses()] == [0, 1, 0]
        assert site.request(looked_at).result == {site.key: "ada"}
        assert site.cookie == new
        assert site.answer.cookies == []


def test_a_request_that_fails_renews_nothing(open_site: OpenSite, old: str, secret_key: str) -> None:
    with open_site(secret_key, crudjt.generate_secret_key()) as site:
        site.cookie = old
        site.request(looked_at, status=500)
        assert site.cookie == old
        assert site.store.peek(old) is not None


def test_a_websocket_goes_on_with_the_session_as_of_its_opening(path: Path, secret_key: str) -> None:
    async def talk(socket: WebSocket) -> None:
        before = session_of(socket).id
        await socket.accept()
        await socket.send_json(session_of(socket).id == before and await still_alive())
        await socket.close()

    with crudjt.open(path, secret_key=[secret_key, crudjt.generate_secret_key()]) as store:
        with crudjt.open(path, secret_key=secret_key) as before:
            token = before.create({"user": "ada"}, subject="ada")
        app = Starlette(
            routes=[WebSocketRoute("/", talk)],
            middleware=[Middleware(SessionMiddleware, store=store, subject_key="user")],
        )
        with (
            TestClient(app, cookies={"session": token}) as client,
            client.websocket_connect("wss://testserver/") as socket,
        ):
            assert socket.receive_json() is True
        assert store.peek(token) is not None


def test_a_session_stays_with_its_key_where_that_is_wanted(open_site: OpenSite, old: str, secret_key: str) -> None:
    with open_site(secret_key, crudjt.generate_secret_key(), renew_keys=False) as site:
        site.cookie = old
        assert site.request(looked_at).result == {site.key: "ada"}
        site.request(lambda session: session.update({"a": 1}))
        assert site.cookie == old
