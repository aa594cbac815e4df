"""The sessions of Litestar: what is particular to it; the rest is that of `test_starlette.py`, by the same code."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.middleware import DefineMiddleware
from litestar.plugins.flash import FlashConfig, FlashPlugin, flash
from litestar.response import Template
from litestar.security.session_auth import SessionAuth
from litestar.template.config import TemplateConfig
from litestar.testing import TestClient

import crudjt
from crudjt.contrib.litestar import SessionBackend, SessionConfig, SessionMiddleware, session_of

try:
    from litestar.plugins.jinja import JinjaTemplateEngine
except ModuleNotFoundError:  # the oldest Litestar that is allowed has it elsewhere, where a newer one warns
    from litestar.contrib.jinja import JinjaTemplateEngine

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


def test_only_a_response_that_depends_on_the_session_varies_by_its_cookie(store: crudjt.Store) -> None:
    @get("/nothing")
    async def nothing() -> None:
        pass

    looks: list[Any] = [
        len, list, bool, dict, repr,
        lambda session: session.get("a"),
        lambda session: "a" in session,
        lambda session: session.keys(),
        lambda session: session.values(),
        lambda session: session.items(),
        lambda session: session.setdefault("a", 1),
    ]  # fmt: skip

    @get("/look_at")
    async def look_at(request: AnyRequest) -> None:
        looks[int(request.headers["x-number"])](request.session)

    with served(store, put, nothing, look_at) as client:
        client.post("/put", json={"a": 1})
        assert "vary" not in client.get("/nothing").headers
        for number in range(len(looks)):
            assert client.get("/look_at", headers={"x-number": str(number)}).headers["vary"] == "Cookie", number


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


# What Litestar builds on its session middleware


@get("/id")
async def named(request: AnyRequest) -> dict[str, str | None]:
    return {"id": request.get_session_id(), "own": session_of(request).id}


@get("/skipped", skip_session=True)
async def skipped(request: AnyRequest) -> bool:
    return "session" in request.scope


@get("/excluded")
async def excluded(request: AnyRequest) -> bool:
    return "session" in request.scope


def served(store: crudjt.Store, *handlers: Any, **settings: Any) -> TestClient[Litestar]:
    middleware = DefineMiddleware(SessionMiddleware, store=store, **{"subject_key": None} | settings)
    application = Litestar(list(handlers), middleware=[middleware], openapi_config=None)
    return TestClient(application, base_url="https://testserver.local")


def test_the_session_id_is_the_handle_and_no_token(store: crudjt.Store) -> None:
    with served(store, put, named) as client:
        assert client.get("/id").json() == {"id": None, "own": None}
        client.post("/put", json={"a": 1})
        stored = store.peek(cookie(client))
        assert stored is not None
        assert client.get("/id").json() == {"id": stored.id, "own": stored.id}


def test_handlers_and_paths_can_be_left_out(store: crudjt.Store) -> None:
    with served(store, skipped, excluded, exclude="^/excluded") as client:
        assert client.get("/skipped").json() is False
        assert client.get("/excluded").json() is False
    with served(store, skipped, exclude_opt_key="stateless") as client:
        assert client.get("/skipped").json() is True


def test_a_model_may_be_set_as_the_session(store: crudjt.Store) -> None:
    @dataclass
    class Cart:
        items: list[int]

    @post("/model")
    async def set_model(request: AnyRequest) -> None:
        request.set_session(Cart([7]))

    with served(store, show, set_model) as client:
        client.post("/model")
        assert client.get("/").json() == {"items": [7]}


def test_the_session_authentication_of_litestar_works(store: crudjt.Store) -> None:
    async def user_of(session: dict[str, Any], _connection: Any) -> str | None:
        return session.get("user_id")

    @post("/login")
    async def log_in(request: AnyRequest) -> None:
        request.set_session({"user_id": (await request.json())["user"]})

    @get("/me")
    async def me(request: Request[str, Any, Any]) -> str:
        return request.user

    config = SessionConfig(store, subject_key="user_id")
    auth = SessionAuth[str, SessionBackend](
        retrieve_user_handler=user_of, session_backend_config=config, exclude=["^/login"]
    )
    application = Litestar([log_in, me, clear], on_app_init=[auth.on_app_init])
    with TestClient(application, base_url="https://testserver.local") as client:
        assert client.get("/me").status_code == 401
        client.post("/login", json={"user": "ada"})
        first = cookie(client)
        assert client.get("/me").text == "ada"
        client.post("/login", json={"user": "bob"})
        assert client.get("/me").text == "bob"
        assert store.peek(first) is None
        assert [session.data for session in store.sessions("bob")] == [{"user_id": "bob"}]
        client.post("/clear")
        assert client.get("/me").status_code == 401
        assert store.stats().sessions == 0


def test_flash_messages_of_litestar_work(store: crudjt.Store, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("{% for each in get_flashes() %}{{ each.message }}{% endfor %}")

    @post("/flash")
    async def say(request: AnyRequest) -> None:
        flash(request, "saved", "info")

    @get("/page")
    async def page() -> Template:
        return Template("page.html")

    templates = TemplateConfig(engine=JinjaTemplateEngine, directory=tmp_path)
    application = Litestar(
        [say, page],
        middleware=[SessionConfig(store, subject_key=None).middleware],
        template_config=templates,
        plugins=[FlashPlugin(FlashConfig(template_config=templates))],
    )
    with TestClient(application, base_url="https://testserver.local") as client:
        client.post("/flash")
        assert [client.get("/page").text for _ in range(2)] == ["saved", ""]


def test_the_test_client_of_litestar_sets_and_shows_the_session(store: crudjt.Store) -> None:
    config = SessionConfig(store, subject_key=None, secure=False)
    application = Litestar([show, put], middleware=[config.middleware])
    with TestClient(application, session_config=config) as client:
        client.set_session_data({"a": 1})
        assert client.get("/").json() == {"a": 1}
        client.post("/put", json={"b": 2})
        assert client.get_session_data() == {"a": 1, "b": 2}
