"""End sessions: each end is confirmed by a second form, which says how many there are, and goes to the audit log."""

from starlette.requests import Request
from starlette.responses import Response

from crudjt._core.audit import audit
from crudjt.admin.forms import fields
from crudjt.admin.listing import NO_SESSION
from crudjt.admin.pages import Pages
from crudjt.admin.words import counted
from crudjt.base import AsyncStore

_NO_KEPT = "The session to keep has ended, or it has a new token and with it a new handle. Nothing was ended."
_NONE_TO_END = "There is no such session. If there was one, it has ended."


class Ending:
    """Ends one session, all of a subject, or all but one."""

    def __init__(self, store: AsyncStore, pages: Pages) -> None:
        """Take an open store, and what shows the results."""
        self._store = store
        self._pages = pages

    async def confirm_one(self, request: Request) -> Response:
        """Ask whether to end a session."""
        session = await self._store.find(request.path_params["id"])
        if session is None:
            return self._pages.message(request, "No such session", NO_SESSION, status=404)
        return self._pages.show(
            request,
            "confirm",
            question="End 1 session?",
            owner=session.subject,
            action=f"/sessions/{session.id}/end",
            hidden={},
            back=f"/sessions/{session.id}",
        )

    async def one(self, request: Request) -> Response:
        """End a session."""
        handle = request.path_params["id"]
        done = await self._store.revoke_id(handle)
        audit(request.state.operator, "end session", "done" if done else "missing", handle=handle)
        if not done:
            return self._pages.message(request, "No such session", NO_SESSION, status=404)
        return self._pages.message(request, "Ended 1 session", "Its token is dead in every process from now on.")

    async def confirm_subject(self, request: Request) -> Response:
        """Ask whether to end the sessions of a subject, but for one if the form names one to keep."""
        form = await fields(request)
        subject, keep = form.get("subject", ""), form.get("keep") or None
        if keep is not None and not await self._is_of(keep, subject):
            return self._pages.message(request, "Nothing to keep", _NO_KEPT, status=409)
        number = await self._store.count(subject) - (keep is not None)
        if number < 1:
            return self._pages.message(request, "Nothing to end", _NONE_TO_END, status=409)
        return self._pages.show(
            request,
            "confirm",
            question=f"End {counted(number, 'session')}" + (", and keep one?" if keep else "?"),
            owner=subject,
            action="/subject/end/confirmed",
            hidden={"subject": subject, "keep": keep or ""},
            back="/sessions",
        )

    async def subject(self, request: Request) -> Response:
        """End the sessions of a subject, but for one if the form names one to keep."""
        form = await fields(request)
        subject, keep = form.get("subject", ""), form.get("keep") or None
        operator = request.state.operator
        if keep is None:
            ended, action = await self._store.revoke(subject), "end sessions of subject"
        else:
            action = "end other sessions of subject"
            others = [session.id async for session in self._store.sessions(subject) if session.id != keep]
            # Looked at last: a session that got a new token before the list was read would be among the others.
            if not await self._is_of(keep, subject):
                audit(operator, action, "missing")
                return self._pages.message(request, "Nothing to keep", _NO_KEPT, status=409)
            ended = 0
            for handle in others:
                ended += await self._store.revoke_id(handle, subject=subject)
        if not ended:  # then the text may be no subject at all, and belongs into no log
            audit(operator, action, "missing")
            return self._pages.message(request, "Nothing to end", _NONE_TO_END, status=409)
        audit(operator, action, "done", subject=subject, keep=keep, ended=ended)
        text = "Their tokens are dead in every process from now on."
        return self._pages.message(request, f"Ended {counted(ended, 'session')}", text)

    async def _is_of(self, handle: str, subject: str) -> bool:
        session = await self._store.find(handle)
        return session is not None and session.subject == subject
