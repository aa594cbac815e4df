"""Find sessions and look at one."""

import pprint
import re
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from crudjt._core.session import Session
from crudjt._core.tokens import TOKEN_CHARACTERS
from crudjt.admin.forms import fields
from crudjt.admin.pages import Pages
from crudjt.admin.words import Moment, moment
from crudjt.base import AsyncStore

PAGE_SESSIONS = 50
NO_SESSION = "There is no such session. It has ended, or it has a new token and with it a new handle."

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
        """List all sessions, newest first."""
        after = request.query_params.get("after")
        page = await self._store.list(after=after, limit=PAGE_SESSIONS)
        return self._pages.show(
            request, "sessions", rows=rows(page.sessions), next=page.next, is_first=after is None, failure=""
        )

    async def search(self, request: Request) -> Response:
        """Find what was typed: a handle, a token or a subject."""
        wanted = (await fields(request)).get("wanted", "")
        if not wanted:
            return await self._nothing(request, "Type a subject, a handle or a token.", 400)
        found: Session | None = None
        if _HANDLE.fullmatch(wanted):
            found = await self._store.find(wanted.lower())
        elif _TOKEN.fullmatch(wanted):
            found = await self._store.peek(wanted)
        if found is not None:
            return RedirectResponse(f"{request.scope.get('root_path', '')}/sessions/{found.id}", 303)
        return await self._of_subject(request, wanted, None)

    async def of_subject(self, request: Request) -> Response:
        """List the sessions of a subject."""
        form = await fields(request)
        return await self._of_subject(request, form.get("subject", ""), form.get("after") or None)

    async def one(self, request: Request) -> Response:
        """Show one session."""
        session = await self._store.find(request.path_params["id"])
        if session is None:
            return self._pages.message(request, "No such session", NO_SESSION, status=404)
        data = pprint.pformat(session.data, width=_DATA_COLUMNS) if self._show_data else None
        return self._pages.show(request, "session", row=row(session, datetime.now(timezone.utc)), data=data)

    async def _of_subject(self, request: Request, subject: str, after: str | None) -> Response:
        page = await self._store.list(subject=subject, after=after, limit=PAGE_SESSIONS)
        if not page.sessions and after is None:
            return await self._nothing(request, "No live session has this subject, handle or token.", 404)
        total = await self._store.count(subject)
        shown = rows(page.sessions)
        return self._pages.show(request, "subject", subject=subject, rows=shown, next=page.next, total=total)

    async def _nothing(self, request: Request, text: str, status: int) -> Response:
        """Say that nothing was found, above the newest sessions. What was typed is not repeated: it may be a token."""
        page = await self._store.list(limit=PAGE_SESSIONS)
        shown = rows(page.sessions)
        return self._pages.show(
            request, "sessions", status=status, rows=shown, next=page.next, is_first=True, failure=text
        )
