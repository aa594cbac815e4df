"""The events of the store, as a page and as a stream."""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timezone
from typing import NamedTuple

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from crudjt._core.events import Event
from crudjt.admin.access import Access
from crudjt.admin.journal import Journal
from crudjt.admin.pages import Pages

SECONDS = 1.0
"""Between two messages to a page."""

_LIVE = {"begun", "changed", "rotated"}
_WORDS = {"gap": "not all before this are shown"}


class Row(NamedTuple):
    """An event for a page; `link` is the handle of a session that was alive then."""

    time: str
    kind: str
    id: str
    link: str
    subject: str


class Events:
    """Shows the events that were committed while a page was open."""

    def __init__(self, journal: Journal, access: Access, pages: Pages) -> None:
        """Take the events, who may see them, and what shows them."""
        self._journal = journal
        self._access = access
        self._pages = pages

    async def page(self, request: Request) -> Response:
        """Show the events so far, newest first."""
        self._journal.look()
        number, since = self._journal.number, self._journal.since
        shown = rows(reversed(list(self._journal.after(0))))
        began = f"{datetime.fromtimestamp(since, timezone.utc):%Y-%m-%d %H:%M:%S} UTC" if since else ""
        return self._pages.show(
            request, "events", rows=shown, number=number, since=began, available=self._journal.available
        )

    async def live(self, request: Request) -> Response:
        """Stream the events that follow, as server-sent events, until the operator's session ends."""
        after = request.headers.get("last-event-id") or request.query_params.get("after", "")
        number = int(after) if after.isdecimal() and len(after) < 19 else self._journal.number  # noqa: PLR2004 - of 64 bits
        return StreamingResponse(
            self._events(request, number), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    async def _events(self, request: Request, number: int) -> AsyncIterator[bytes]:
        closing = self._access.closing
        while not closing.is_set() and await self._access.still_in(request):
            self._journal.look()
            found, latest = rows(self._journal.after(number)), self._journal.number
            if latest - number > len(found):  # more than are kept
                found.insert(0, Row("", f"{latest - number - len(found):,} more", "", "", ""))
            number = latest
            yield b"id: %d\ndata: %b\n\n" % (number, msgspec.json.encode(found))
            with anyio.move_on_after(SECONDS):
                await closing.wait()
        yield b"event: end\ndata:\n\n"


def rows(events: Iterable[Event]) -> list[Row]:
    """Return events for a page."""
    return [
        Row(
            f"{event.time:%H:%M:%S}" if event.time else "",
            _WORDS.get(event.kind, event.kind),
            event.id or "",
            event.id or "" if event.kind in _LIVE else "",
            event.subject or "",
        )
        for event in events
    ]
