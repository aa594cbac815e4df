"""Sessions under asyncio and under trio, with the test clients of Starlette and Litestar."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
import trio
from litestar import Litestar, post
from litestar import Request as LitestarRequest
from litestar.testing import TestClient as LitestarClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

import crudjt
from crudjt.aio import wrap
from crudjt.contrib import litestar, starlette
from tests.support.asgi import Browser, acting, delay_the_next_write
from tests.support.remote_server import ServedStore

Backend = Literal["asyncio", "trio"]
SETTINGS: dict[str, Any] = {"subject_key": "user", "https_only": False, "idle_timeout": 600}


def starlette_client(store: crudjt.Store, backend: Backend) -> Any:
    async def login(request: Request) -> Response:
        request.session.update(user="ada", n=0)
        return Response()

    async def count(request: Request) -> Response:
        request.session["n"] = request.session.get("n", 0) + 1
        mine = await starlette.sessions_of("ada")
        return JSONResponse([request.session["n"], len(mine)])

    async def logout(request: Request) -> Response:
        request.session.clear()
        return Response()

    async def socket(websocket: WebSocket) -> None:
        websocket.session["n"] = 10
        await websocket.accept()
        await websocket.close()

    paths = {"/login": login, "/count": count, "/logout": logout}
    routes = [Route(path, view, methods=["POST"]) for path, view in paths.items()]
    middleware = [Middleware(starlette.SessionMiddleware, store=store, **SETTINGS)]
    app = Starlette(routes=[*routes, WebSocketRoute("/socket", socket)], middleware=middleware)
    return TestClient(app, backend=backend)


def litestar_client(store: crudjt.Store, backend: Backend) -> Any:
    @post("/login")
    async def login(request: LitestarRequest[Any, Any, Any]) -> None:
        request.set_session({"user": "ada", "n": 0})

    @post("/count")
    async def count(request: LitestarRequest[Any, Any, Any]) -> list[int]:
        request.session["n"] = request.session.get("n", 0) + 1
        mine = await litestar.sessions_of("ada")
        return [request.session["n"], len(mine)]

    @post("/logout")
    async def logout(request: LitestarRequest[Any, Any, Any]) -> None:
        request.clear_session()

    config = litestar.SessionConfig(store, subject_key="user", secure=False, idle_timeout=600)
    app = Litestar([login, count, logout], middleware=[config.middleware])
    return LitestarClient(app, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("client_of", [starlette_client, litestar_client])
def test_a_session_is_kept_from_login_to_logout(
    store: crudjt.Store, client_of: Callable[[crudjt.Store, Backend], Any], backend: Backend
) -> None:
    with client_of(store, backend) as client:
        client.post("/login")
        assert [client.post("/count").json() for _ in range(2)] == [[1, 1], [2, 1]]
        token = client.cookies["session"]
        client.post("/logout")
        assert store.peek(token) is None


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_websocket_keeps_what_it_changes(store: crudjt.Store, backend: Backend) -> None:
    with starlette_client(store, backend) as client:
        client.post("/login")
        with client.websocket_connect("/socket"):
            pass
        assert client.post("/count").json() == [11, 1]


def test_a_store_on_a_server_serves_trio(path: Any, secret_key: str) -> None:
    with ServedStore(path, secret_key=secret_key) as store, starlette_client(store, "trio") as client:
        client.post("/login")
        assert client.post("/count").json() == [1, 1]


def test_a_logout_holds_if_the_request_is_cancelled_in_trio(store: crudjt.Store) -> None:
    """Also where it has to wait for a thread: whatever waits is cancelled again in trio."""
    asynchronous = wrap(store)
    token = store.create({"user": "ada"}, subject="ada")
    cleared = trio.Event()

    async def log_out_and_wait(session: Any) -> None:
        session.clear()
        cleared.set()
        await trio.sleep_forever()

    async def cancelled() -> None:
        browser = Browser(starlette.SessionMiddleware(acting(log_out_and_wait), asynchronous, **SETTINGS))
        browser.cookie = token
        async with trio.open_nursery() as nursery:
            nursery.start_soon(browser.request)
            await cleared.wait()
            nursery.cancel_scope.cancel()

    delay_the_next_write(asynchronous)
    trio.run(cancelled)
    assert store.peek(token) is None
