"""The pages of the login with FastAPI: sessions in a cookie, in the store that the bearer tokens are in too."""

from asyncio import to_thread
from pathlib import Path
from typing import Any

from accounts import form_in, send_mail
from devices import page_of
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates

from crudjt.contrib.fastapi import devices_of, end_session, revoke_user, session_of

LINK_SECONDS = 600

pages = APIRouter(include_in_schema=False)
templates = Jinja2Templates(Path(__file__).with_name("templates"))


def page(request: Request, name: str, status: int = 200, **context: Any) -> Response:
    """Return a page."""
    return templates.TemplateResponse(request, f"{name}.html", context, status)


def user(request: Request) -> str:
    """Return who is logged in; any other visitor is refused."""
    name = session_of(request).subject
    if name is None:
        raise HTTPException(401)
    return name


@pages.get("/")
async def show(request: Request) -> Response:
    """Show who is logged in, and where else."""
    name = session_of(request).subject
    if name is None:
        return RedirectResponse("/login", 303)
    return page(request, "sessions", **page_of(name, await devices_of(name)))


@pages.get("/register")
@pages.get("/login")
@pages.get("/forgot")
async def form(request: Request) -> Response:
    """Show a form."""
    return page(request, request.url.path[1:])


@pages.post("/register")
async def register(request: Request) -> Response:
    """Make a user."""
    sent = form_in(await request.body())
    if not await to_thread(request.app.state.accounts.register, sent["user"], sent["password"]):
        return page(request, "register", 409, message="This name is taken.")
    return RedirectResponse("/login", 303)


@pages.post("/login")
async def login(request: Request) -> Response:
    """Log in. The session gets a new token, which no attacker can have planted."""
    sent = form_in(await request.body())
    if not await to_thread(request.app.state.accounts.knows, sent["user"], sent["password"]):
        return page(request, "login", 403, message="The name or the password is wrong.")
    request.session["user"] = sent["user"]
    return RedirectResponse("/", 303)


@pages.post("/logout")
async def logout(request: Request) -> Response:
    """Log out here."""
    request.session.clear()
    return RedirectResponse("/login", 303)


@pages.post("/logout-everywhere")
async def logout_everywhere(request: Request) -> Response:
    """Log out on every device, and here."""
    ended = await revoke_user(user(request))
    request.session.clear()
    return page(request, "login", message=f"Sessions ended: {ended}.")


@pages.post("/sessions/{handle}/end")
async def end(request: Request, handle: str) -> Response:
    """Log out on another device. The handle of another user's session does nothing."""
    if not await end_session(user(request), handle):
        raise HTTPException(404)
    return RedirectResponse("/", 303)


@pages.post("/forgot")
async def forgot(request: Request) -> Response:
    """Mail the user a link that sets a new password, once. An unknown user gets the same answer."""
    state, name = request.app.state, form_in(await request.body())["user"]
    if await to_thread(state.accounts.has, name):
        send_mail(state.outbox, name, await state.links.create({"user": name}, ttl=LINK_SECONDS, max_reads=1))
    return page(request, "login", message="Look into your mail.")


@pages.get("/reset/{link}")
async def choose(request: Request, link: str) -> Response:
    """Show the form that sets a new password. To look at it does not use the link up."""
    if await request.app.state.links.peek(link) is None:
        raise HTTPException(404)
    return page(request, "reset")


@pages.post("/reset/{link}")
async def reset(request: Request, link: str) -> Response:
    """Set a new password, and end every session that knew the old one."""
    used = await request.app.state.links.read(link)
    if used is None:
        raise HTTPException(404)
    name = used.data["user"]
    await to_thread(request.app.state.accounts.set_password, name, form_in(await request.body())["password"])
    await revoke_user(name)
    return page(request, "login", message="Log in with your new password.")
