"""Websockets that close the moment their session ends, with Starlette and any number of worker processes.

    export CRUDJT_SECRET_KEY=$(crudjt keygen) DIRECTORY=/srv/app
    uvicorn --workers 2 --app-dir examples/websocket_chat --factory starlette_chat:create_app

``POST /login/NAME`` logs in, without a password to be short. ``POST /logout`` ends the session, as `crudjt end` or
`revoke_user` does in any process. The websocket ``/chat`` names the user and the process, and returns what it gets.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from endings import Endings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import crudjt.aio
from crudjt.contrib.starlette import SessionMiddleware, session_of

SESSION_ENDED = 4401  # a code of this application, for its page


async def login(request: Request) -> Response:
    """Log in."""
    session_of(request)["user"] = request.path_params["name"]
    return PlainTextResponse("hello\n")


async def logout(request: Request) -> Response:
    """Log out here."""
    session_of(request).clear()
    return PlainTextResponse("goodbye\n")


async def talk(websocket: WebSocket) -> None:
    """Return what is received, until the client leaves."""
    await websocket.send_text(f"{session_of(websocket).subject} in {os.getpid()}")
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def chat(websocket: WebSocket) -> None:
    """Serve a websocket for as long as its session lives."""
    session = session_of(websocket)
    if session.id is None or session.subject is None:
        await websocket.close(SESSION_ENDED)
        return
    await websocket.accept()
    talking = asyncio.create_task(talk(websocket))
    ended = asyncio.create_task(websocket.app.state.endings.wait(session.id))
    try:
        await asyncio.wait({talking, ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        talking.cancel()
        ended.cancel()
    if not talking.done():
        await websocket.close(SESSION_ENDED)


def create_app() -> Starlette:
    """Return the application that keeps its sessions in the directory that `DIRECTORY` names."""
    store = crudjt.aio.open(Path(os.environ["DIRECTORY"]) / "sessions")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with store:
            yield

    app = Starlette(
        routes=[
            Route("/login/{name}", login, methods=["POST"]),
            Route("/logout", logout, methods=["POST"]),
            WebSocketRoute("/chat", chat),
        ],
        middleware=[Middleware(SessionMiddleware, store=store, subject_key="user", idle_timeout=30 * 60)],
        lifespan=lifespan,
    )
    app.state.endings = Endings(store)
    return app
