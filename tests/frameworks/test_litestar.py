"""The sessions of Litestar: what is particular to it; the rest is that of `test_starlette.py`, by the same code."""

from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.middleware import DefineMiddleware
from litestar.testing import TestClient

import crudjt
from crudjt.contrib.litestar import SessionMiddleware

AnyRequest = Request[Any, Any, Any]


@get("/")
async def show(request: AnyRequest) -> dict[str, Any]:
    return dict(request.session)


@post("/put")
async def put(request: AnyRequest) -> None:
    request.session.update(await request.json())


@post("/set")
async def set_all(request: AnyRequest) -> None:
    request.set_session(await request.json())


@post("/login")
async def login(request: AnyRequest) -> None:
    session: Any = request.session
    session.subject = "ada"


@post("/clear")
async def clear(request: AnyRequest) -> None:
    request.clear_session()


@websocket("/look")
async def look(socket: WebSocket[Any, Any, Any]) -> None:
    before = dict(socket.session)
    socket.session["seen"] = True
    await socket.accept()
    await socket.send_json(before)
    await socket.close()


@pytest.fixture
def client(store: crudjt.Store) -> Iterator[TestClient[Litestar]]:
    application = Litestar(
        [show, put, set_all, login, clear, look],
        middleware=[DefineMiddleware(SessionMiddleware, store=store)],
        openapi_config=None,
    )
    with TestClient(application, base_url="https://testserver.local") as client:
        yield client


def cookie(client: TestClient[Litestar]) -> str:
    return client.cookies.get("session") or ""


def test_what_a_request_puts_into_the_session_the_next_one_finds(client: TestClient[Litestar]) -> None:
    response = client.post("/put", json={"a": 1})
    assert {"secure", "httponly", "samesite=lax"} <= set(response.headers["set-cookie"].split("; "))
    assert response.headers["cache-control"] == "no-store"
    response = client.get("/")
    assert response.json() == {"a": 1}
    assert "set-cookie" not in response.headers
    assert response.headers["vary"] == "Cookie"


def test_session_data_that_is_set_anew_replaces_what_was_there(client: TestClient[Litestar]) -> None:
    client.post("/put", json={"a": 1, "b": 2})
    before = cookie(client)
    client.post("/set", json={"c": 3})
    assert client.get("/").json() == {"c": 3}
    assert cookie(client) != before  # it may be a login, and no key of the user is configured


def test_clearing_ends_the_session_and_takes_the_cookie_away(client: TestClient[Litestar], store: crudjt.Store) -> None:
    client.post("/put", json={"a": 1})
    token = cookie(client)
    client.post("/clear")
    assert cookie(client) == ""
    assert store.peek(token) is None


def test_a_login_gets_a_new_token_and_the_old_one_dies(client: TestClient[Litestar], store: crudjt.Store) -> None:
    client.post("/put", json={"a": 1})
    token = cookie(client)
    client.post("/login")
    assert cookie(client) not in ("", token)
    assert store.peek(token) is None
    assert [session.data for session in store.sessions("ada")] == [{"a": 1}]


@pytest.mark.parametrize("value", ["A" * 22, "attacker", "null"])
def test_a_value_that_we_did_not_mint_is_never_adopted(
    client: TestClient[Litestar], store: crudjt.Store, value: str
) -> None:
    client.cookies.set("session", value, domain="testserver.local", path="/")
    assert client.get("/").json() == {}
    client.post("/put", json={"a": 1})
    assert store.peek(value) is None
    assert store.peek(cookie(client)) is not None


def test_a_websocket_has_the_session_and_keeps_what_it_changes(client: TestClient[Litestar]) -> None:
    client.post("/put", json={"a": 1})
    with client.websocket_connect("wss://testserver.local/look") as socket:
        assert socket.receive_json() == {"a": 1}
    assert client.get("/").json() == {"a": 1, "seen": True}


def test_a_setting_that_cannot_work_is_refused(store: crudjt.Store) -> None:
    async def nothing(*_: Any) -> None:
        pass

    with pytest.raises(crudjt.InvalidParameter, match="idle_timeout"):
        SessionMiddleware(nothing, store, idle_timeout=0)
