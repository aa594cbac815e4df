"""Protection against forms on other sites (CSRF), for the login examples that have none from their framework."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

Application = Callable[[Any, Any, Any], Awaitable[None]]

_SAFE = {"GET", "HEAD", "OPTIONS"}


def is_from_here(method: str, fetch_site: str | None, origin: str | None, host: str | None) -> bool:
    """Tell whether a request is no form or script of another site.

    Browsers say where a request comes from, in `Sec-Fetch-Site` or at least in `Origin`. What says neither is no
    browser, and holds no cookie of a user.
    """
    if method in _SAFE or fetch_site in ("same-origin", "none"):
        return True
    return fetch_site is None and (origin is None or urlsplit(origin).netloc == host)


class RefuseOtherSites:
    """ASGI middleware that answers 403 to what another site sends."""

    def __init__(self, app: Application) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] == "http":
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            said = (headers.get(name) for name in ("sec-fetch-site", "origin", "host"))
            if not is_from_here(scope["method"], *said):
                await send(
                    {"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]}
                )
                await send({"type": "http.response.body", "body": b"This form is on another site.\n"})
                return
        await self.app(scope, receive, send)
