"""A websocket keeps its session alive, and learns that it has ended."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from litestar import Litestar, Request, WebSocket, post, websocket
from litestar.testing import TestClient as LitestarClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket as StarletteSocket
from starlette.websockets import WebSocketDisconnect

import crudjt
from crudjt.aio import wrap
from crudjt.contrib import litestar, starlette
from crudjt.contrib._sessions.current import enter, leave
from crudjt.testing import FakeClock
from tests.support.asgi import Browser, acting
from tests.support.loops import Loop

SETTINGS: dict[str, Any] = {"subject_key": "user", "idle_timeout": 60, "max_age": None}

# The socket answers "touch", "look" and "set" with whether its session is alive, and "data" with what it holds.


def starlette_client(store: crudjt.Store) -> Any:
    async def put(request: StarletteRequest) -> Response:
        request.session.update(await request.json())
        return Response()

    async def socket(connection: StarletteSocket) -> None:
        await connection.accept()
        async for text in connection.iter_text():
            if text == "set":
                connection.session["own"] = True
            answer = await starlette.still_alive(touch=text == "touch") if text != "data" else dict(connection.session)
            await connection.send_json(answer)

    middleware = [Middleware(starlette.SessionMiddleware, store=store, **SETTINGS)]
    routes = [Route("/put", put, methods=["POST"]), WebSocketRoute("/socket", socket)]
    return TestClient(Starlette(routes=routes, middleware=middleware), base_url="https://testserver.local")


def litestar_client(store: crudjt.Store) -> Any:
    @post("/put")
    async def put(request: Request[Any, Any, Any]) -> None:
        request.session.update(await request.json())

    @websocket("/socket")
    async def talk(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        async for text in socket.iter_data("text"):
            if text == "set":
                socket.session["own"] = True
            answer = await litestar.still_alive(touch=text == "touch") if text != "data" else dict(socket.session)
            await socket.send_json(answer)

    config = litestar.SessionConfig(store, **SETTINGS)
    return LitestarClient(Litestar([put, talk], middleware=[config.middleware]), base_url="https://testserver.local")


@pytest.fixture(params=[starlette_client, litestar_client])
def client(request: pytest.FixtureRequest, store: crudjt.Store) -> Iterator[Any]:
    with request.param(store) as client:
        client.post("/put", json={"user": "ada"})
        yield client


def connected(client: Any) -> AbstractContextManager[Any]:
    socket: AbstractContextManager[Any] = client.websocket_connect("wss://testserver.local/socket")
    return socket


def ask(socket: Any, text: str) -> Any:
    socket.send_text(text)
    return socket.receive_json()


def test_a_socket_that_touches_its_session_keeps_it_alive(client: Any, clock: FakeClock, store: crudjt.Store) -> None:
    with connected(client) as socket:
        for _ in range(3):
            clock.advance(50)
            assert ask(socket, "touch") is True
    clock.advance(50)
    assert store.peek(client.cookies["session"]) is not None


def test_a_socket_that_only_looks_does_not_keep_it_alive(client: Any, clock: FakeClock) -> None:
    with connected(client) as socket:
        clock.advance(50)
        assert ask(socket, "look") is True
        clock.advance(10)
        assert ask(socket, "look") is False
        assert ask(socket, "touch") is False


@pytest.mark.parametrize("end", ["revoke", "delete", "log in"])
def test_a_socket_learns_that_its_session_has_ended(client: Any, store: crudjt.Store, end: str) -> None:
    with connected(client) as socket:
        assert ask(socket, "touch") is True
        if end == "revoke":
            store.revoke("ada")
        elif end == "delete":
            store.delete(client.cookies["session"])
        else:
            client.post("/put", json={"user": "ada"})  # which gets a new token
        assert ask(socket, "touch") is False


def test_a_socket_sees_what_other_requests_have_stored_and_keeps_its_own_changes(client: Any) -> None:
    with connected(client) as socket:
        ask(socket, "set")
        client.post("/put", json={"cart": [1]})
        assert ask(socket, "touch") is True
        assert ask(socket, "data") == {"user": "ada", "own": True, "cart": [1]}
        client.post("/put", json={"cart": [2]})
        assert ask(socket, "touch") is True
        assert ask(socket, "data") == {"user": "ada", "own": True, "cart": [2]}


def test_a_handler_that_lets_the_disconnect_pass_has_not_failed(store: crudjt.Store, loop: Loop) -> None:
    """As one that awaits `receive_text` until that raises."""

    def change_and_leave(session: Any) -> None:
        session["own"] = True
        raise WebSocketDisconnect(1001)

    browser = Browser(starlette.SessionMiddleware(acting(dict, change_and_leave), store, **SETTINGS))
    browser.cookie = token = store.create({"user": "ada"}, subject="ada")
    with pytest.raises(WebSocketDisconnect):
        loop.run(browser.request("websocket"))
    session = store.peek(token)
    assert session is not None
    assert session.data == {"user": "ada", "own": True}


def test_without_a_session_there_is_nothing_to_keep_alive(client: Any) -> None:
    client.cookies.clear()
    with connected(client) as socket:
        assert ask(socket, "touch") is False


def test_a_request_with_a_bearer_token_has_no_such_session(store: crudjt.Store, loop: Loop) -> None:
    async def ask_with_bearer() -> None:
        entered = enter(wrap(store), bearer="token")
        try:
            await starlette.still_alive()
        finally:
            leave(entered)

    with pytest.raises(RuntimeError, match="SessionMiddleware"):
        loop.run(ask_with_bearer())


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()
