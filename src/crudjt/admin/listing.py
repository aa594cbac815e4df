"""Find sessions and look at one."""

import pprint
import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from crudjt._core.listing import Page
from crudjt._core.session import Session
from crudjt._core.tokens import TOKEN_CHARACTERS
from crudjt.admin.forms import fields
from crudjt.admin.pages import Pages
from crudjt.admin.words import Moment, moment
from crudjt.base import AsyncStore
from crudjt.errors import InvalidParameter

PAGE_SESSIONS = 50
NO_SESSION = "There is no such session. It has ended, or it has a new token and with it a new handle."

AGES = {
    "": "at any time",
    "3600": "over an hour ago",
    "86400": "over a day ago",
    "604800": "over a week ago",
    "2592000": "over 30 days ago",
}
"""When a session began, by what a form or an address calls it: seconds, or nothing."""

_HANDLE = re.compile(r"[0-9a-fA-F]{32}")
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{TOKEN_CHARACTERS}}}")
_DATA_COLUMNS = 76


class Row(NamedTuple):
    """A session for a page."""

    id: str
    subject: str | None
    version: int
    began: Moment | None
    last_seen: Moment | None
    ends: Moment | None
    reads_left: str
    address: str | None
    agent: str | None


def rows(sessions: Iterable[Session]) -> list[Row]:
    """Return sessions for a page."""
    now = datetime.now(timezone.utc)
    return [row(session, now) for session in sessions]


def row(session: Session, now: datetime) -> Row:
    """Return a session for a page."""
    client = session.client
    return Row(
        session.id,
        session.subject,
        session.version,
        moment(session.created_at, now),
        moment(session.last_seen, now),
        moment(session.expires_at, now),
        "any number" if session.reads_left is None else f"{session.reads_left:,}",
        None if client is None else client.address,
        None if client is None else client.agent,
    )


class Sessions:
    """Lists sessions, finds them and shows one. No address of a page holds a token or a subject."""

    def __init__(self, store: AsyncStore, pages: Pages, *, show_data: bool) -> None:
        """Take an open store, what shows its sessions, and whether their data is shown too."""
        self._store = store
        self._pages = pages
        self._show_data = show_data

    async def newest(self, request: Request) -> Response:
        """List all sessions, newest first, or those that began so long ago."""
        after, older = request.query_params.get("after"), request.query_params.get("older", "")
        page = await self._store.list(after=after, limit=PAGE_SESSIONS, created_before=_began_before(older))
        return self._listed(request, page, older=older, is_first=after is None)

    async def search(self, request: Request) -> Response:
        """Find what was typed: a handle, a token or a subject; or, without it, list sessions by age."""
        form = await fields(request)
        wanted, older = form.get("wanted", ""), form.get("older", "")
        _began_before(older)
        if not wanted and older:
            return RedirectResponse(f"{request.scope.get('root_path', '')}/sessions?older={older}", 303)
        if not wanted:
            return await self._nothing(request, "Type a subject, a handle or a token.", 400)
        found: Session | None = None
        if _HANDLE.fullmatch(wanted):
            found = await self._store.find(wanted.lower())
        elif _TOKEN.fullmatch(wanted):
            found = await self._store.peek(wanted)
        if found is not None:
            return RedirectResponse(f"{request.scope.get('root_path', '')}/sessions/{found.id}", 303)
        return await self._of_subject(request, wanted, None, older)

    async def of_subject(self, request: Request) -> Response:
        """List the sessions of a subject."""
        form = await fields(request)
        return await self._of_subject(
            request, form.get("subject", ""), form.get("after") or None, form.get("older", "")
        )

    async def one(self, request: Request) -> Response:
        """Show one session."""
        session = await self._store.find(request.path_params["id"])
        if session is None:
            return self._pages.message(request, "No such session", NO_SESSION, status=404)
        data = pprint.pformat(session.data, width=_DATA_COLUMNS) if self._show_data else None
        return self._pages.show(request, "session", row=row(session, datetime.now(timezone.utc)), data=data)

    async def _of_subject(self, request: Request, subject: str, after: str | None, older: str) -> Response:
        before = _began_before(older)
        page = await self._store.list(subject=subject, after=after, limit=PAGE_SESSIONS, created_before=before)
        if not page.sessions and after is None:
            age = f" that began {AGES[older]}" if older else ""
            return await self._nothing(request, f"No live session{age} has this subject, handle or token.", 404)
        return self._pages.show(
            request,
            "subject",
            subject=subject,
            rows=rows(page.sessions),
            next=page.next,
            total=await self._store.count(subject),
            older=older,
            ages=AGES,
        )

    async def _nothing(self, request: Request, text: str, status: int) -> Response:
        """Say that nothing was found, above the newest sessions. What was typed is not repeated: it may be a token."""
        page = await self._store.list(limit=PAGE_SESSIONS)
        return self._listed(request, page, failure=text, status=status)

    def _listed(
        self,
        request: Request,
        page: Page,
        *,
        older: str = "",
        is_first: bool = True,
        failure: str = "",
        status: int = 200,
    ) -> Response:
        shown = rows(page.sessions)
        return self._pages.show(
            request,
            "sessions",
            status=status,
            rows=shown,
            next=page.next,
            is_first=is_first,
            failure=failure,
            older=older,
            ages=AGES,
        )


def _began_before(older: str) -> datetime | None:
    """Return the time that one of `AGES` is about.

    Raises:
        InvalidParameter: it is none of them.

    """
    if older not in AGES:
        raise InvalidParameter("older", f"older must be one of {', '.join(filter(None, AGES))} seconds, or empty")
    return datetime.now(timezone.utc) - timedelta(seconds=int(older)) if older else None
