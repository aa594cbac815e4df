"""The checks before each page: the headers of every answer, the origin of forms, and the operator."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crudjt.admin.access import Access
from crudjt.admin.pages import Pages

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_CROSS_ORIGIN = (
    "This form did not come from this page, so nothing was done. Go back, reload the page and try again. If that does "
    "not help, the browser does not say where forms come from (Sec-Fetch-Site): open the page through TLS, or on "
    "localhost."
)


class Headers:
    """Adds the security headers to every answer of an application."""

    def __init__(self, app: ASGIApp) -> None:
        """Take the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, with_headers)


class Guard:
    """Lets only operators, and only forms of the page itself, reach an endpoint."""

    def __init__(self, access: Access, pages: Pages, *, read_only: bool) -> None:
        """Take who decides, and what shows a refusal."""
        self._access = access
        self._pages = pages
        self._read_only = read_only

    def protected(self, endpoint: Endpoint) -> Endpoint:
        """Return an endpoint that only operators reach."""

        async def protected(request: Request) -> Response:
            if not is_own(request):
                return self._pages.message(request, "Refused", _CROSS_ORIGIN, status=403)
            operator = await self._access.operator(request)
            if operator is None:
                return self._refused(request)
            request.state.operator = operator
            return await endpoint(request)

        return protected

    def changing(self, endpoint: Endpoint) -> Endpoint:
        """Return an endpoint that ends sessions: as `protected`, and not where the page is read-only."""

        async def changing(request: Request) -> Response:
            if self._read_only:
                text = "This page was started with --read-only: it shows sessions and ends none."
                return self._pages.message(request, "Read-only", text, status=403)
            return await endpoint(request)

        return self.protected(changing)

    def own(self, endpoint: Endpoint) -> Endpoint:
        """Return an endpoint that takes forms of the page itself, from anyone."""

        async def own(request: Request) -> Response:
            if not is_own(request):
                return self._pages.message(request, "Refused", _CROSS_ORIGIN, status=403)
            return await endpoint(request)

        return own

    def _refused(self, request: Request) -> Response:
        if self._access.signs_in:
            if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
                return RedirectResponse(f"{request.scope.get('root_path', '')}/sign-in", 303)
            text = "Your session has ended. Sign in again; nothing was done."
            return self._pages.message(request, "Signed out", text, status=401)
        text = "The application does not count you among its operators. Sign in there with another account."
        return self._pages.message(request, "No access", text, status=403)


def is_own(request: Request) -> bool:
    """Tell whether a request that may change something comes from a page of this origin.

    Browsers say so in ``Sec-Fetch-Site``, which no page can set. Older ones name the origin; a request of neither kind
    is refused.
    """
    if request.method in {"GET", "HEAD"}:
        return True
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("origin") == f"{request.url.scheme}://{request.headers.get('host', '')}"
