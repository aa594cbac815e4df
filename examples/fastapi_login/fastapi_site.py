"""A login with FastAPI and bearer tokens, for any number of worker processes.

    export CRUDJT_SECRET_KEY=$(crudjt keygen) DIRECTORY=/srv/app
    uvicorn --workers 2 --app-dir examples --factory fastapi_login.fastapi_site:create_app

Browsers open http://127.0.0.1:8000, whose pages (``fastapi_pages.py``) keep their session in a cookie. Other clients
use ``/api``: ``POST /api/register`` and ``/api/login`` take ``user`` and ``password`` as JSON; a login answers with a
token, which the client sends as ``Authorization: Bearer TOKEN``. ``GET /api/`` shows who you are and your sessions on
all devices; ``POST /api/sessions/HANDLE/end``, ``/api/logout`` and ``/api/logout-everywhere`` end them. ``/docs`` shows
it all.
"""

import os
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from accounts import Accounts, send_mail
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi_pages import LINK_SECONDS, pages
from other_sites import RefuseOtherSites
from pydantic import BaseModel

import crudjt.aio
from crudjt.aio import AsyncStore
from crudjt.contrib.fastapi import (
    CurrentStore,
    RequiredSession,
    SessionMiddleware,
    client_of,
    devices_of,
    end_session,
    revoke_user,
    use_store,
)

SESSION_SECONDS = 12 * 3600
IDLE_SECONDS = 30 * 60

api = APIRouter(prefix="/api")


class User(BaseModel):
    """Who."""

    user: str


class Password(BaseModel):
    """The proof."""

    password: str


class Login(User, Password):
    """Both."""


def accounts_of(request: Request) -> Accounts:
    """Return the users of the application."""
    accounts: Accounts = request.app.state.accounts
    return accounts


def links_of(request: Request) -> AsyncStore:
    """Return the store of links, which are no sessions: it is another."""
    links: AsyncStore = request.app.state.links
    return links


Users = Annotated[Accounts, Depends(accounts_of)]
Links = Annotated[AsyncStore, Depends(links_of)]


@api.get("/")
async def show(session: RequiredSession) -> dict[str, Any]:
    """Show who is logged in, and where else."""
    name = str(session.subject)
    devices = [
        {"handle": each.id, "device": each.agent, "since": each.begun, "here": each.here}
        for each in await devices_of(name)
    ]
    return {"user": name, "sessions": devices, "worker": os.getpid()}


@api.post("/register")
async def register(body: Login, accounts: Users) -> str:
    """Make a user."""
    if not await to_thread(accounts.register, body.user, body.password):
        raise HTTPException(409)
    return "welcome"


@api.post("/login")
async def login(body: Login, request: Request, accounts: Users, store: CurrentStore) -> dict[str, str]:
    """Log in: each login is a session of its own."""
    if not await to_thread(accounts.knows, body.user, body.password):
        raise HTTPException(403)
    client = client_of(request)  # so that users recognise their sessions: say so in your privacy notice
    token = await store.create({}, ttl=SESSION_SECONDS, idle=IDLE_SECONDS, subject=body.user, client=client)
    return {"token": token}


@api.post("/logout")
async def logout(session: RequiredSession, store: CurrentStore) -> str:
    """Log out here."""
    await store.revoke_id(session.id)
    return "goodbye"


@api.post("/logout-everywhere")
async def logout_everywhere(session: RequiredSession) -> str:
    """Log out on every device, and here."""
    return f"{await revoke_user(session.subject)} sessions ended"


@api.post("/sessions/{handle}/end")
async def end(handle: str, session: RequiredSession) -> str:
    """Log out on another device. The handle of another user's session does nothing."""
    if not await end_session(session.subject, handle):
        raise HTTPException(404)
    return "ended"


@api.post("/forgot")
async def forgot(body: User, request: Request, links: Links, accounts: Users) -> str:
    """Mail the user a link that sets a new password, once. An unknown user gets the same answer."""
    if await to_thread(accounts.has, body.user):
        link = await links.create({"user": body.user}, ttl=LINK_SECONDS, max_reads=1)
        send_mail(request.app.state.outbox, body.user, link)
    return "look into your mail"


@api.post("/reset/{link}")
async def reset(link: str, body: Password, links: Links, accounts: Users, store: CurrentStore) -> str:
    """Set a new password, and end every session that knew the old one."""
    used = await links.read(link)
    if used is None:
        raise HTTPException(404)
    name = used.data["user"]
    await to_thread(accounts.set_password, name, body.password)
    await store.revoke(name)
    return "log in with your new password"


def create_app() -> FastAPI:
    """Return the application that keeps its users, sessions and links in the directory that `DIRECTORY` names."""
    directory = Path(os.environ["DIRECTORY"])
    # Durable: a logout survives a power failure.
    sessions = crudjt.aio.open(directory / "sessions", durability="full")
    links = crudjt.aio.open(directory / "links", durability="full")

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with sessions, links:
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(api)
    app.include_router(pages)
    app.add_middleware(
        SessionMiddleware,
        store=sessions,
        subject_key="user",
        session_cookie="__Host-session",
        same_site="strict",
        max_age=SESSION_SECONDS,
        idle_timeout=IDLE_SECONDS,
        record_client=True,  # so that users recognise their sessions: say so in your privacy notice
    )
    app.add_middleware(RefuseOtherSites)
    app.state.accounts = Accounts(directory / "users.db")
    app.state.links = links
    app.state.outbox = directory / "outbox"
    use_store(app, sessions)
    return app
