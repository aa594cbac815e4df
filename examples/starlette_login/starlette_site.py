"""A login with Starlette and a session cookie, for any number of worker processes.

    export CRUDJT_SECRET_KEY=$(crudjt keygen) DIRECTORY=/srv/app
    uvicorn --workers 2 --app-dir examples --factory starlette_login.starlette_site:create_app

Bodies are JSON. ``POST /register`` and ``/login`` take ``user`` and ``password``; ``GET /`` shows who you are and your
sessions on all devices; ``POST /sessions/HANDLE/end``, ``/logout``, ``/logout-everywhere`` end them. ``POST /forgot``
mails a link that works once, and ``POST /reset/LINK`` sets a new ``password`` and ends every session of the user.
"""

import os
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from accounts import Accounts, send_mail
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

import crudjt.aio
from crudjt.contrib.starlette import SessionMiddleware, devices_of, end_session, revoke_user, session_of

LINK_SECONDS = 600


class RefuseOtherSites:
    """Refuses what a page of another site sends. ``SameSite`` keeps the cookie from it already."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        headers = HTTPConnection(scope).headers if scope["type"] == "http" else {}
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            await PlainTextResponse("another site\n", 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class Site:
    """The pages. Sessions and links are in stores of their own: the token of a link is no session."""

    def __init__(self, directory: Path) -> None:
        """Open what is kept in a directory."""
        self.accounts = Accounts(directory / "users.db")
        self.outbox = directory / "outbox"
        # Durable: a logout survives a power failure.
        self.sessions = crudjt.aio.open(directory / "sessions", durability="full")
        self.links = crudjt.aio.open(directory / "links", durability="full")

    async def show(self, request: Request) -> Response:
        """Show who is logged in, and where else."""
        name = user(request)
        devices = [
            {"handle": each.id, "device": each.agent, "since": str(each.begun), "here": each.here}
            for each in await devices_of(name)
        ]
        return JSONResponse({"user": name, "sessions": devices, "worker": os.getpid()})

    async def register(self, request: Request) -> Response:
        """Make a user."""
        body = await request.json()
        if not await to_thread(self.accounts.register, body["user"], body["password"]):
            raise HTTPException(409)
        return PlainTextResponse("welcome\n")

    async def login(self, request: Request) -> Response:
        """Log in. The session gets a new token, which no attacker can have planted."""
        body = await request.json()
        if not await to_thread(self.accounts.knows, body["user"], body["password"]):
            raise HTTPException(403)
        session_of(request)["user"] = body["user"]
        return PlainTextResponse("hello\n")

    async def logout(self, request: Request) -> Response:
        """Log out here."""
        session_of(request).clear()
        return PlainTextResponse("goodbye\n")

    async def logout_everywhere(self, request: Request) -> Response:
        """Log out on every device, and here."""
        ended = await revoke_user(user(request))
        session_of(request).clear()
        return PlainTextResponse(f"{ended} sessions ended\n")

    async def end(self, request: Request) -> Response:
        """Log out on another device. The handle of another user's session does nothing."""
        if not await end_session(user(request), request.path_params["handle"]):
            raise HTTPException(404)
        return PlainTextResponse("ended\n")

    async def forgot(self, request: Request) -> Response:
        """Mail the user a link that sets a new password, once. An unknown user gets the same answer."""
        name = (await request.json())["user"]
        if await to_thread(self.accounts.has, name):
            send_mail(self.outbox, name, await self.links.create({"user": name}, ttl=LINK_SECONDS, max_reads=1))
        return PlainTextResponse("look into your mail\n")

    async def reset(self, request: Request) -> Response:
        """Set a new password, and end every session that knew the old one."""
        body = await request.json()
        link = await self.links.read(request.path_params["link"])
        if link is None:
            raise HTTPException(404)
        name = link.data["user"]
        await to_thread(self.accounts.set_password, name, body["password"])
        await revoke_user(name)
        return PlainTextResponse("log in with your new password\n")

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Close the stores when the application ends."""
        async with self.sessions, self.links:
            yield


def user(request: Request) -> str:
    """Return who is logged in; anybody else is sent away."""
    name = session_of(request).subject
    if name is None:
        raise HTTPException(401)
    return name


def create_app() -> Starlette:
    """Return the application that keeps its users, sessions and links in the directory that `DIRECTORY` names."""
    site = Site(Path(os.environ["DIRECTORY"]))
    return Starlette(
        routes=[
            Route("/", site.show),
            Route("/register", site.register, methods=["POST"]),
            Route("/login", site.login, methods=["POST"]),
            Route("/logout", site.logout, methods=["POST"]),
            Route("/logout-everywhere", site.logout_everywhere, methods=["POST"]),
            Route("/sessions/{handle}/end", site.end, methods=["POST"]),
            Route("/forgot", site.forgot, methods=["POST"]),
            Route("/reset/{link}", site.reset, methods=["POST"]),
        ],
        middleware=[
            Middleware(RefuseOtherSites),
            Middleware(
                SessionMiddleware,
                store=site.sessions,
                subject_key="user",
                session_cookie="__Host-session",
                same_site="strict",
                max_age=12 * 3600,
                idle_timeout=30 * 60,
                record_client=True,  # so that users recognise their sessions: say so in your privacy notice
            ),
        ],
        lifespan=site.lifespan,
    )
