"""Websockets that close the moment their session ends, in two worker processes, with Starlette and Django Channels."""

import ast
import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timezone
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import crudjt
import crudjt.aio
from tests.support.documents import blocks, section
from tests.support.processes import PATIENCE
from tests.support.project import ROOT
from tests.support.stores import read
from tests.support.valkey_stores import SINGLE, ServerPool, namespace

EXAMPLES = ROOT / "examples" / "websocket_chat"
APPLICATIONS = {"starlette": ("--factory", "starlette_chat:create_app"), "channels": ("channels_chat:application",)}
WORKERS = 2
AT_ONCE = 15.0  # seconds: long before a session is looked at again, whatever the events say
SESSION_ENDED = 4401


class Site(NamedTuple):
    """An application that is being served."""

    port: int
    directory: Path

    def post(self, path: str, cookie: str = "") -> str:
        """Return the cookie of the answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("POST", path, headers={"Cookie": cookie})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            return response.headers.get("Set-Cookie", "").partition(";")[0]
        finally:
            connection.close()

    def chat(self, cookie: str) -> ClientConnection:
        headers = {"Cookie": cookie, "Origin": f"http://127.0.0.1:{self.port}"}
        return connect(f"ws://127.0.0.1:{self.port}/chat", additional_headers=headers, compression=None)

    def chats_in_both_workers(self, cookie: str, stack: ExitStack) -> list[ClientConnection]:
        """Open websockets until each worker has one; they are closed with `stack`."""
        workers: dict[str, ClientConnection] = {}
        for _ in range(200):
            opened = stack.enter_context(self.chat(cookie))
            workers.setdefault(str(opened.recv(PATIENCE)), opened)
            if len(workers) == WORKERS:
                return list(workers.values())
        raise AssertionError(f"only {list(workers)} answered")


@pytest.fixture(scope="module", params=APPLICATIONS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, secret_key: str) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    environment = {"CRUDJT_SECRET_KEY": secret_key, "DJANGO_SECRET_KEY": secret_key, "DIRECTORY": str(directory)}
    if request.param == "channels":
        subprocess.run([sys.executable, EXAMPLES / "channels_chat.py"], env=os.environ | environment, check=True)
    with socket.create_server(("127.0.0.1", 0), backlog=500) as listening:
        number = str(listening.fileno())
        options = ["--fd", number, "--workers", str(WORKERS), "--log-level", "warning", "--app-dir", str(EXAMPLES)]
        command = [sys.executable, "-m", "uvicorn", *options, *APPLICATIONS[request.param]]
        with subprocess.Popen(command, env=os.environ | environment, pass_fds=[int(number)]) as process:
            try:
                yield Site(listening.getsockname()[1], directory)
            finally:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                finally:
                    process.kill()


def closing(chat: ClientConnection) -> tuple[int, float]:
    """Wait until a websocket is closed; return its code and when that was."""
    with pytest.raises(ConnectionClosed) as caught:
        chat.recv(PATIENCE)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, time.monotonic()


@pytest.mark.slow
def test_a_logout_in_one_worker_closes_the_websockets_of_the_session_in_both(site: Site) -> None:
    ada, eve = site.post("/login/ada"), site.post("/login/eve")
    with ExitStack() as stack:
        own, others = site.chats_in_both_workers(ada, stack), site.chats_in_both_workers(eve, stack)
        for chat in (*own, *others):
            chat.send("hello")
            assert chat.recv(PATIENCE) == "hello"
        site.post("/logout", ada)
        left = time.monotonic()
        for chat in own:
            code, when = closing(chat)
            assert code == SESSION_ENDED
            assert when - left < AT_ONCE
        for chat in others:
            chat.send("still here")
            assert chat.recv(PATIENCE) == "still here"


@pytest.mark.slow
def test_sessions_that_another_process_revokes_take_their_websockets_along(site: Site, secret_key: str) -> None:
    cookies = [site.post("/login/ada") for _ in range(2)]
    with ExitStack() as stack:
        chats = [chat for cookie in cookies for chat in site.chats_in_both_workers(cookie, stack)]
        with crudjt.open(site.directory / "sessions", secret_key=secret_key) as store:
            (subject,) = {
                session.subject for session in map(store.read, (each.partition("=")[2] for each in cookies)) if session
            }
            assert subject is not None
            store.revoke(subject)
        left = time.monotonic()
        assert all(code == SESSION_ENDED and when - left < AT_ONCE for code, when in map(closing, chats))


@pytest.mark.slow
def test_who_is_not_logged_in_gets_no_websocket(site: Site) -> None:
    with pytest.raises(Exception, match="403"):
        site.chat("")


def test_the_recipe_is_the_code_of_the_examples() -> None:
    examples = "".join(path.read_text() for path in EXAMPLES.glob("*.py"))
    recipe = "".join(blocks(section("docs/recipes.md", "Close a user's websockets")))
    defined = [node for node in ast.parse(recipe).body if hasattr(node, "name")]
    assert [node.name for node in defined if hasattr(node, "name")] == ["Endings", "chat", "Chat"]
    assert all((ast.get_source_segment(recipe, node) or recipe) in examples for node in defined)


@pytest.fixture
def endings(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import endings  # noqa: PLC0415 - an example

    monkeypatch.setattr(endings, "LONGEST_WAIT", PATIENCE)
    monkeypatch.setattr(endings, "LONGEST_WAIT_WITHOUT_EVENTS", 0.05)
    return endings


def ended_by(
    store: crudjt.Store, endings: ModuleType, token: str, act: Callable[[crudjt.aio.AsyncStore], Awaitable[object]]
) -> None:
    """Act on a store while a task waits for the end of a session; return when that is seen, and forgotten."""

    async def use() -> None:
        async with crudjt.aio.wrap(store) as opened:
            session = await opened.peek(token)
            assert session is not None
            waiting = endings.Endings(opened)
            task = asyncio.create_task(waiting.wait(session.id))
            await asyncio.sleep(0.1)
            assert not task.done()
            await act(opened)
            await asyncio.wait_for(task, AT_ONCE)
            waiting._following.cancel()
            assert not waiting._waiting

    asyncio.run(use())


def test_a_rotation_ends_the_wait(path: Path, secret_key: str, endings: ModuleType) -> None:
    store = crudjt.open(path, secret_key=secret_key)
    token = store.create({})
    ended_by(store, endings, token, lambda opened: opened.rotate(token))


def test_a_session_that_expires_ends_the_wait_at_its_deadline(path: Path, secret_key: str, endings: ModuleType) -> None:
    store = crudjt.open(path, secret_key=secret_key)
    session = read(store, store.create({}, ttl=0.5))

    async def use() -> None:
        async with crudjt.aio.wrap(store) as opened:
            waiting = endings.Endings(opened)
            await asyncio.wait_for(waiting.wait(session.id), AT_ONCE)
            waiting._following.cancel()

    asyncio.run(use())
    assert session.expires_at is not None
    assert session.expires_at <= datetime.now(timezone.utc)


def test_without_events_the_store_is_asked_again_and_again(
    servers: ServerPool, path: Path, secret_key: str, endings: ModuleType
) -> None:
    store = crudjt.open(servers.single("valkey").url(namespace(path)), secret_key=secret_key, **SINGLE)
    token = store.create({}, subject="ada")
    ended_by(store, endings, token, lambda opened: opened.revoke("ada"))
