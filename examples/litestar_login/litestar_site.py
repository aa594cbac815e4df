"""A login with Litestar and a session cookie, for any number of worker processes.

    export CRUDJT_SECRET_KEY=$(crudjt keygen) DIRECTORY=/srv/app
    uvicorn --workers 2 --app-dir examples --factory litestar_login.litestar_site:create_app

Open http://127.0.0.1:8000: register, log in, see your sessions on all devices and end them, set a new password by a
link that works once. The pages are in ``examples/templates``.
"""

import os
from asyncio import to_thread
from pathlib import Path
from typing import Annotated, Any

from accounts import Accounts, send_mail
from devices import page_of
from litestar import Litestar, Request, Response, get, post
from litestar.contrib.jinja import JinjaTemplateEngine
from litestar.datastructures import State
from litestar.enums import RequestEncodingType
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.middleware import DefineMiddleware
from litestar.params import Body
from litestar.response import Redirect, Template
from litestar.template.config import TemplateConfig
from other_sites import RefuseOtherSites

import crudjt.aio
from crudjt.contrib.litestar import SessionMiddleware, devices_of, end_session, revoke_user, session_of

LINK_SECONDS = 600
TEMPLATES = Path(__file__).parents[1] / "templates"

Asked = Request[Any, Any, State]
Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
Answer = Response[Any] | Template


def page(name: str, status: int = 200, **context: Any) -> Template:
    """Return a page."""
    return Template(f"{name}.html", context=context, status_code=status)


def user(request: Asked) -> str:
    """Return who is logged in; any other visitor is refused."""
    name = session_of(request).subject
    if name is None:
        raise NotAuthorizedException
    return name


@get("/")
async def show(request: Asked) -> Answer:
    """Show who is logged in, and where else."""
    name = session_of(request).subject
    if name is None:
        return Redirect("/login", status_code=303)
    return page("sessions", **page_of(name, await devices_of(name)))


@get("/register", sync_to_thread=False)
def registration() -> Template:
    """Show the form that makes a user."""
    return page("register")


@post("/register")
async def register(data: Form, state: State) -> Answer:
    """Make a user."""
    if not await to_thread(state.accounts.register, data["user"], data["password"]):
        return page("register", 409, message="This name is taken.")
    return Redirect("/login", status_code=303)


@get("/login", sync_to_thread=False)
def entrance() -> Template:
    """Show the form to log in."""
    return page("login")


@post("/login")
async def login(request: Asked, data: Form, state: State) -> Answer:
    """Log in. The session gets a new token, which no attacker can have planted."""
    if not await to_thread(state.accounts.knows, data["user"], data["password"]):
        return page("login", 403, message="The name or the password is wrong.")
    request.session["user"] = data["user"]
    return Redirect("/", status_code=303)


@post("/logout")
async def logout(request: Asked) -> Answer:
    """Log out here."""
    request.clear_session()
    return Redirect("/login", status_code=303)


@post("/logout-everywhere")
async def logout_everywhere(request: Asked) -> Answer:
    """Log out on every device, and here."""
    ended = await revoke_user(user(request))
    request.clear_session()
    return page("login", message=f"Sessions ended: {ended}.")


@post("/sessions/{handle:str}/end")
async def end(request: Asked, handle: str) -> Answer:
    """Log out on another device. The handle of another user's session does nothing."""
    if not await end_session(user(request), handle):
        raise NotFoundException
    return Redirect("/", status_code=303)


@get("/forgot", sync_to_thread=False)
def forgotten() -> Template:
    """Show the form that asks for a link."""
    return page("forgot")


@post("/forgot")
async def forgot(data: Form, state: State) -> Answer:
    """Mail the user a link that sets a new password, once. An unknown user gets the same answer."""
    name = data["user"]
    if await to_thread(state.accounts.has, name):
        send_mail(state.outbox, name, await state.links.create({"user": name}, ttl=LINK_SECONDS, max_reads=1))
    return page("login", message="Look into your mail.")


@get("/reset/{link:str}")
async def choose(link: str, state: State) -> Answer:
    """Show the form that sets a new password. To look at it does not use the link up."""
    if await state.links.peek(link) is None:
        raise NotFoundException
    return page("reset")


@post("/reset/{link:str}")
async def reset(link: str, data: Form, state: State) -> Answer:
    """Set a new password, and end every session that knew the old one."""
    used = await state.links.read(link)
    if used is None:
        raise NotFoundException
    name = used.data["user"]
    await to_thread(state.accounts.set_password, name, data["password"])
    await revoke_user(name)
    return page("login", message="Log in with your new password.")


def create_app() -> Litestar:
    """Return the application that keeps its users, sessions and links in the directory that `DIRECTORY` names."""
    directory = Path(os.environ["DIRECTORY"])
    # Durable: a logout survives a power failure.
    sessions = crudjt.aio.open(directory / "sessions", durability="full")
    links = crudjt.aio.open(directory / "links", durability="full")
    state = {"accounts": Accounts(directory / "users.db"), "links": links, "outbox": directory / "outbox"}
    middleware = DefineMiddleware(
        SessionMiddleware,
        store=sessions,
        subject_key="user",
        session_cookie="__Host-session",
        same_site="strict",
        max_age=12 * 3600,
        idle_timeout=30 * 60,
        record_client=True,  # so that users recognise their sessions: say so in your privacy notice
    )
    pages: list[Any] = [
        show,
        registration,
        register,
        entrance,
        login,
        logout,
        logout_everywhere,
        end,
        forgotten,
        forgot,
    ]
    return Litestar(
        [*pages, choose, reset],
        middleware=[DefineMiddleware(RefuseOtherSites), middleware],
        template_config=TemplateConfig(directory=TEMPLATES, engine=JinjaTemplateEngine),
        state=State(state),
        openapi_config=None,
        on_shutdown=[sessions.close, links.close],
    )
