"""Put the page together as an ASGI application."""

from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from crudjt._core.key_uses import HasKeys
from crudjt.admin.access import Access, Authorize, Mounted, SignedIn
from crudjt.admin.check import Check, Examine
from crudjt.admin.ending import Ending
from crudjt.admin.events import Events
from crudjt.admin.guard import Guard, Headers
from crudjt.admin.journal import Journal
from crudjt.admin.keys import Keys
from crudjt.admin.listing import Sessions
from crudjt.admin.overview import Overview
from crudjt.admin.pages import HERE, Pages
from crudjt.admin.pulse import Pulse
from crudjt.admin.signing_in import SigningIn
from crudjt.aio import wrap
from crudjt.base import AsyncStore, Store
from crudjt.errors import InvalidParameter, InvalidType, StoreError

_SENTENCES = {
    400: "The form is damaged. Go back and try again.",
    404: "There is no such page.",
    405: "This page takes no such request.",
    413: "The form is too long.",
    415: "This page takes forms only.",
}


def app(
    store: Store | AsyncStore, *, authorize: Authorize, read_only: bool = False, show_data: bool = False
) -> Starlette:
    """Return the admin page, to mount in an application that is served through TLS or on localhost.

    What operators end goes to the logger ``crudjt.audit``, with their names.

    Args:
        store: an open store of any backend. It stays the caller's to close.
        authorize: takes each request (`starlette.requests.Request`) and returns the name of the operator who makes it,
            ``None`` to refuse it. It may be a coroutine function.
        read_only: whether to show sessions and end none.
        show_data: whether to show the data of a session.

    Raises:
        InvalidType: `authorize` cannot be called, or `store` is no store.

    """
    if not callable(authorize):
        raise InvalidType(
            "authorize",
            "authorize must be a function that takes a request and returns the operator's name or None, not "
            f"{type(authorize).__name__}",
        )
    if not isinstance(store, (Store, AsyncStore)):
        raise InvalidType("store", f"store must be an open store, not {type(store).__name__}")
    return assembled(wrap(store), store, Mounted(authorize), read_only=read_only, show_data=show_data)


def assembled(
    store: AsyncStore,
    keyed: object,
    access: Access,
    *,
    read_only: bool,
    show_data: bool,
    examine: Examine | None = None,
) -> Starlette:
    """Return the application for some way of access.

    Args:
        store: an open store.
        keyed: the store again, for its keys if it has them.
        access: decides who is an operator.
        read_only: as for `app`; as the next one.
        show_data: whether to show the data of a session.
        examine: checks the store as ``crudjt doctor`` does; ``None`` offers no check.

    """
    has_keys = isinstance(keyed, HasKeys)
    pages = Pages(store.location, signs_in=access.signs_in, read_only=read_only, has_keys=has_keys)
    guard = Guard(access, pages, read_only=read_only)
    journal = Journal(store)
    events = Events(journal, access, pages)
    overview = Overview(Pulse(store, journal), access, pages, can_check=examine is not None)
    sessions = Sessions(store, pages, show_data=show_data)
    ending = Ending(store, pages)
    routes: list[Any] = [
        Mount("/static", StaticFiles(directory=HERE / "static")),
        Route("/", guard.protected(overview.page)),
        Route("/live", guard.protected(overview.live)),
        Route("/events", guard.protected(events.page)),
        Route("/events/live", guard.protected(events.live)),
        Route("/sessions", guard.protected(sessions.newest)),
        Route("/search", guard.protected(sessions.search), methods=["POST"]),
        Route("/subject", guard.protected(sessions.of_subject), methods=["POST"]),
        Route("/subject/end", guard.changing(ending.confirm_subject), methods=["POST"]),
        Route("/subject/end/confirmed", guard.changing(ending.subject), methods=["POST"]),
        Route("/sessions/{id}", guard.protected(sessions.one)),
        Route("/sessions/{id}/end", guard.changing(ending.confirm_one)),
        Route("/sessions/{id}/end", guard.changing(ending.one), methods=["POST"]),
    ]
    if examine is not None:
        routes.append(Route("/check", guard.protected(Check(examine, pages).run), methods=["POST"]))
    if isinstance(keyed, HasKeys):
        keys = Keys(keyed, pages)
        routes.append(Route("/keys", guard.protected(keys.ask)))
        routes.append(Route("/keys", guard.protected(keys.count), methods=["POST"]))
    if isinstance(access, SignedIn):
        routes += SigningIn(access, guard, pages).routes()

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 400
        text = str(error) if isinstance(error, InvalidParameter) else _SENTENCES.get(status, "That did not work.")
        return pages.message(request, "Not found" if status == 404 else "Not possible", text, status=status)  # noqa: PLR2004

    async def failed(request: Request, error: Exception) -> Response:
        text = f"The store does not answer: {error}. What was asked for may or may not have been done."
        return pages.message(request, "The store failed", text, status=503)

    handlers = {HTTPException: refused, InvalidParameter: refused, StoreError: failed}
    return Starlette(routes=routes, middleware=[Middleware(Headers)], exception_handlers=handlers)
