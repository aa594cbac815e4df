"""A login with Starlette and a session cookie, for any number of worker processes.

    export CRUDJT_SECRET_KEY=$(crudjt keygen) DIRECTORY=/srv/app
    uvicorn --workers 2 --app-dir examples --factory starlette_login.starlette_site:create_app

Open http://127.0.0.1:8000: register, log in, see your sessions on all devices and end them, set a new password by a
link that works once. The pages are in ``examples/templates``.
"""

import os
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from accounts import Accounts, form_in, send_mail
from devices import page_of
from other_sites import RefuseOtherSites
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

import crudjt.aio
from crudjt.contrib.starlette import SessionMiddleware, devices_of, end_session, revoke_user, session_of

LINK_SECONDS = 600

templates = Jinja2Templates(Path(__file__).parents[1] / "templates")


def page(request: Request, name: str, status: int = 200, **context: Any) -> Response:
    """Return a page."""
    return templates.TemplateResponse(request, f"{name}.html", context, status)


def user(request: Request) -> str:
    """Return who is logged in; any other visitor is refused."""
    name = session_of(request).subject
    if name is None:
        raise HTTPException(401)
    return name


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
        name = session_of(request).subject
        if name is None:
            return RedirectResponse("/login", 303)
        return page(request, "sessions", **page_of(name, await devices_of(name)))

    async def register(self, request: Request) -> Response:
        """Make a user."""
        if request.method == "GET":
            return page(request, "register")
        form = form_in(await request.body())
        if not await to_thread(self.accounts.register, form["user"], form["password"]):
            return page(request, "register", 409, message="This name is taken.")
        return RedirectResponse("/login", 303)

    async def login(self, request: Request) -> Response:
        """Log in. The session gets a new token, which no attacker can have planted."""
        if request.method == "GET":
            return page(request, "login")
        form = form_in(await request.body())
        if not await to_thread(self.accounts.knows, form["user"], form["password"]):
            return page(request, "login", 403, message="The name or the password is wrong.")
        request.session["user"] = form["user"]
        return RedirectResponse("/", 303)

    async def logout(self, request: Request) -> Response:
        """Log out here."""
        request.session.clear()
        return RedirectResponse("/login", 303)

    async def logout_everywhere(self, request: Request) -> Response:
        """Log out on every device, and here."""
        ended = await revoke_user(user(request))
        request.session.clear()
        return page(request, "login", message=f"Sessions ended: {ended}.")

    async def end(self, request: Request) -> Response:
        """Log out on another device. The handle of another user's session does nothing."""
        if not await end_session(user(request), request.path_params["handle"]):
            raise HTTPException(404)
        return RedirectResponse("/", 303)

    async def forgot(self, request: Request) -> Response:
        """Mail the user a link that sets a new password, once. An unknown user gets the same answer."""
        if request.method == "GET":
            return page(request, "forgot")
        name = form_in(await request.body())["user"]
        if await to_thread(self.accounts.has, name):
            send_mail(self.outbox, name, await self.links.create({"user": name}, ttl=LINK_SECONDS, max_reads=1))
        return page(request, "login", message="Look into your mail.")

    async def reset(self, request: Request) -> Response:
        """Set a new password, and end every session that knew the old one. To look does not use the link up."""
        link = request.path_params["link"]
        used = await (self.links.peek(link) if request.method == "GET" else self.links.read(link))
        if used is None:
            raise HTTPException(404)
        if request.method == "GET":
            return page(request, "reset")
        name = used.data["user"]
        await to_thread(self.accounts.set_password, name, form_in(await request.body())["password"])
        await revoke_user(name)
        return page(request, "login", message="Log in with your new password.")

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Close the stores when the application ends."""
        async with self.sessions, self.links:
            yield


def create_app() -> Starlette:
    """Return the application that keeps its users, sessions and links in the directory that `DIRECTORY` names."""
    site = Site(Path(os.environ["DIRECTORY"]))
    return Starlette(
        routes=[
            Route("/", site.show),
            Route("/register", site.register, methods=["GET", "POST"]),
            Route("/login", site.login, methods=["GET", "POST"]),
            Route("/logout", site.logout, methods=["POST"]),
            Route("/logout-everywhere", site.logout_everywhere, methods=["POST"]),
            Route("/sessions/{handle}/end", site.end, methods=["POST"]),
            Route("/forgot", site.forgot, methods=["GET", "POST"]),
            Route("/reset/{link}", site.reset, methods=["GET", "POST"]),
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
