"""The message that begins a response of an ASGI application, and what a session adds to it."""

from collections.abc import Mapping
from typing import Any, cast

from crudjt.contrib._sessions.states import Phase

WITH_HEADERS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""The messages that may set a cookie."""

_VARY = (b"vary", b"Cookie")
_NOT_STORED = (b"cache-control", b"no-store")


def is_failure(message: Mapping[str, Any]) -> bool:
    """Return whether the message that begins a response says that the server has failed."""
    return bool(message.get("status", 200) >= 500)  # noqa: PLR2004 - server errors


def phase_of(message: Mapping[str, Any]) -> Phase:
    """Return what a message that begins a response says of the request."""
    return Phase.FAILED if is_failure(message) else Phase.BEFORE_HEADERS


def add_headers(message: Any, cookie: str | None) -> None:
    """Add the cookie to the message that begins a response, and say that the response depends on it."""
    given = message.setdefault("headers", [])
    if not isinstance(given, list):
        given = message["headers"] = list(given)
    headers = cast("list[tuple[bytes, bytes]]", given)
    names = [name.lower() for name, _ in headers]
    if b"vary" not in names:
        headers.append(_VARY)
    else:
        _add_to_vary(headers, names)
    if cookie is not None:
        headers.append((b"set-cookie", cookie.encode("latin-1")))
        if b"cache-control" not in names:
            headers.append(_NOT_STORED)


def _add_to_vary(headers: list[tuple[bytes, bytes]], names: list[bytes]) -> None:
    """Add the cookie to the last header that says what a response varies by."""
    varies = [at for at, name in enumerate(names) if name == b"vary"]
    given = {each.strip().lower() for at in varies for each in headers[at][1].split(b",")}
    if given.isdisjoint((b"cookie", b"*")):
        headers[varies[-1]] = (b"vary", headers[varies[-1]][1] + b", Cookie")
