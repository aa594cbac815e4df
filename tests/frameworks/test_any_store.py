"""A store that is known by its interface alone works in the server, the command, for asyncio and in every adapter."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import fastapi.testclient
import flask
import litestar
import litestar.testing
import pytest
from click.testing import CliRunner
from litestar.middleware import DefineMiddleware

import crudjt
import crudjt.aio
import crudjt.contrib.fastapi
import crudjt.contrib.flask
import crudjt.contrib.litestar
import crudjt.contrib.starlette
from crudjt.cli import main
from crudjt.server import Server
from tests.support.asgi import Browser, acting
from tests.support.delegating import DelegatingStore, register_near


@pytest.fixture
def any_store(store: crudjt.Store) -> crudjt.Store:
    return DelegatingStore(store)


@pytest.fixture
def location(path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A location whose scheme another package has brought."""
    register_near(monkeypatch)
    monkeypatch.setenv("CRUDJT_SECRET_KEY", secret_key)
    return f"near:{path}"


def test_a_server_serves_it(any_store: crudjt.Store, path: Path) -> None:
    server = Server(any_store, [f"unix:{path}.socket"])
    server.start()
    try:
        with crudjt.open(f"unix:{path}.socket") as client:
            token = client.create({"a": 1}, subject="ada")
            assert [session.data for session in client.sessions("ada")] == [{"a": 1}]
            assert any_store.peek(token) is not None
            limit = any_store.max_data_bytes
            assert limit is not None
            with pytest.raises(crudjt.DataTooLarge):
                client.create({"a": "x" * limit})
            client.backup(path.with_name("copy"))
        assert path.with_name("copy").is_dir()
    finally:
        server.stop(0)


def test_a_server_serves_the_store_of_another_server(any_store: crudjt.Store, path: Path) -> None:
    """One that does not know the largest size of data."""
    first = Server(any_store, [f"unix:{path}.first"])
    first.start()
    with crudjt.open(f"unix:{path}.first") as between:
        second = Server(between, [f"unix:{path}.second"])
        second.start()
        with crudjt.open(f"unix:{path}.second") as client:
            token = client.create({"a": 1})
            assert any_store.peek(token) is not None
            with pytest.raises(crudjt.DataTooLarge):
                client.create({"a": "x" * 70_000})
        second.stop(0)
    first.stop(0)


def test_asyncio_calls_it_from_threads_only(any_store: crudjt.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any call may wait for a network, a read too."""
    on_the_loop: list[str] = []
    loop_thread = threading.get_ident()

    def noting(name: str) -> Any:
        method = getattr(DelegatingStore, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            if threading.get_ident() == loop_thread:
                on_the_loop.append(name)
            return method(*arguments, **keywords)

        return call

    for name in ("create", "read", "peek", "update", "delete", "sessions", "read_many", "stats", "close"):
        monkeypatch.setattr(DelegatingStore, name, noting(name))

    async def use() -> None:
        async with crudjt.aio.wrap(any_store, writes="inline") as store:
            assert (store.location, store.durable) == (any_store.location, False)
            token = await store.create({"a": 1}, subject="ada")
            assert await store.update(token, {"a": 2})
            assert (await store.read(token)) is not None
            assert (await store.peek(token)) is not None
            assert [session.data async for session in store.sessions("ada")] == [{"a": 2}]
            assert len(await store.read_many(iter([token, token]))) == 2
            assert (await store.stats()).sessions == 1
            assert await store.delete(token)
        with pytest.raises(crudjt.StoreClosed):
            await store.read(token)

    asyncio.run(use())
    assert on_the_loop == []


def test_the_command_opens_it_by_its_location(location: str, path: Path) -> None:
    def command(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["--store", location, *arguments], prog_name="crudjt")
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    token = command("create", '{"a": 1}', "--subject", "ada")
    assert command("read", token) == '{"a":1}'
    assert command("revoke", "ada") == "1"
    with crudjt.open(path) as store:
        assert store.peek(token) is None
    refused = CliRunner().invoke(main, ["--store", location, "doctor"], prog_name="crudjt")
    assert refused.exit_code == 2
    refused = CliRunner().invoke(main, ["--store", location, "--tls-ca", "x", "stats"], prog_name="crudjt")
    assert refused.exit_code == 2
    assert "--tls-ca" in refused.output


def test_flask_keeps_its_sessions_there(any_store: crudjt.Store) -> None:
    app = flask.Flask(__name__)
    app.config["CRUDJT_SUBJECT_KEY"] = "_user_id"
    crudjt.contrib.flask.Sessions(app, store=any_store)

    @app.get("/login")
    def login() -> str:
        flask.session["_user_id"] = "ada"
        return ""

    client = app.test_client()
    client.get("/login", base_url="https://localhost")
    assert [session.data["_user_id"] for session in any_store.sessions("ada")] == ["ada"]


def test_flask_opens_it_by_its_location(location: str) -> None:
    app = flask.Flask(__name__)
    app.config.update(CRUDJT_LOCATION=location, CRUDJT_SUBJECT_KEY=None)
    crudjt.contrib.flask.Sessions(app)
    with app.app_context(), crudjt.contrib.flask.current_store() as store:
        assert isinstance(store, DelegatingStore)


def test_django_opens_it_by_its_location_and_keeps_its_sessions_there(location: str, path: Path) -> None:
    from tests.support import django_project  # noqa: PLC0415 - sets Django up, once

    assert django_project.urlpatterns
    from django.test import override_settings  # noqa: PLC0415 - as above

    from crudjt.contrib.django import SessionStore, get_store  # noqa: PLC0415 - as above
    from crudjt.contrib.django.checks import check_settings  # noqa: PLC0415 - as above

    with override_settings(CRUDJT_LOCATION=location):
        assert check_settings() == []
        assert not path.exists()
        session = SessionStore()
        session["a"] = 1
        session.save()
        store = get_store()
        assert isinstance(store, DelegatingStore)
        assert session.session_key is not None
        assert SessionStore(session.session_key)["a"] == 1


def test_starlette_keeps_its_sessions_there(any_store: crudjt.Store) -> None:
    def login(session: Any) -> None:
        session["a"] = 1
        session.subject = "ada"

    browser = Browser(crudjt.contrib.starlette.SessionMiddleware(acting(login), any_store))
    asyncio.run(browser.request())
    assert [session.data for session in any_store.sessions("ada")] == [{"a": 1}]


def test_litestar_keeps_its_sessions_there(any_store: crudjt.Store) -> None:
    @litestar.get("/")
    async def login(request: litestar.Request[Any, Any, Any]) -> None:
        session: Any = request.session
        session["a"] = 1
        session.subject = "ada"

    middleware = DefineMiddleware(crudjt.contrib.litestar.SessionMiddleware, store=any_store)
    application = litestar.Litestar([login], middleware=[middleware], openapi_config=None)
    with litestar.testing.TestClient(application, base_url="https://testserver.local") as client:
        client.get("/")
    assert [session.data for session in any_store.sessions("ada")] == [{"a": 1}]


def test_fastapi_reads_its_tokens_there(any_store: crudjt.Store) -> None:
    app = fastapi.FastAPI()
    crudjt.contrib.fastapi.use_store(app, any_store)

    @app.get("/")
    async def show(session: crudjt.contrib.fastapi.RequiredSession) -> Any:
        return session.data

    token = any_store.create({"a": 1})
    client = fastapi.testclient.TestClient(app)
    assert client.get("/", headers={"Authorization": f"Bearer {token}"}).json() == {"a": 1}
    assert client.get("/", headers={"Authorization": f"Bearer {'A' * 22}"}).status_code == 401
