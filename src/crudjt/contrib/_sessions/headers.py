"""The message that begins a response of an ASGI application, and what a session adds to it."""

from collections.abc import Mapping
from typing import Any, cast

from crudjt.contrib._sessions.states import Phase

WITH_HEADERS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""The messages that may set a cookie."""


def phase_of(message: Mapping[str, Any]) -> Phase:
    """Return what a message that begins a response says of the request."""
    return Phase.FAILED if message.get("status", 200) >= 500 else Phase.BEFORE_HEADERS  # noqa: PLR2004 - server errors


def add_headers(message: Any, cookie: str | None) -> None:
    """Add the cookie to the message that begins a response, and say that the response depends on it."""
    given = message.setdefault("headers", [])
    if not isinstance(given, list):
        given = message["headers"] = list(given)
    headers = cast("list[tuple[bytes, bytes]]", given)
    last, varies, cached = -1, b"", False
    for at, (name, value) in enumerate(headers):
        kind = name.lower()
        if kind == b"vary":
            last, varies = at, varies + b"," + value
        elif kind == b"cache-control":
            cached = True
    if last < 0:
        headers.append((b"vary", b"Cookie"))
    elif not {b"cookie", b"*"} & {each.strip().lower() for each in varies.split(b",")}:
        headers[last] = (b"vary", headers[last][1] + b", Cookie")
    if cookie is not None:
        headers.append((b"set-cookie", cookie.encode("latin-1")))
        if not cached:
            headers.append((b"cache-control", b"no-store"))
