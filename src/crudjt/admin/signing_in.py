"""Sign in with a one-time link or an access token, and sign out."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from crudjt._core.audit import audit
from crudjt.admin.access import SignedIn
from crudjt.admin.forms import fields
from crudjt.admin.guard import Guard
from crudjt.admin.pages import Pages

_USED_UP = "This link was used, or is older than ten minutes. It signs in once; for another, start crudjt admin again."


class SigningIn:
    """The pages of those who are not signed in."""

    def __init__(self, access: SignedIn, guard: Guard, pages: Pages) -> None:
        """Take what knows the links and tokens."""
        self._access = access
        self._guard = guard
        self._pages = pages

    def routes(self) -> list[Route]:
        """Return the routes of the pages."""
        return [
            Route("/enter/{code}", self.enter),
            Route("/sign-in", self.form),
            Route("/sign-in", self._guard.own(self.sign_in), methods=["POST"]),
            Route("/sign-out", self._guard.own(self.sign_out), methods=["POST"]),
        ]

    async def enter(self, request: Request) -> Response:
        """Sign in by the code of a link."""
        token = await self._access.enter(request.path_params["code"])
        audit("one-time link", "sign in", "done" if token else "missing")
        if token is None:
            return self._pages.message(request, "This link does not work any more", _USED_UP, status=403)
        return self._signed_in(request, token)

    async def form(self, request: Request) -> Response:
        """Show how to sign in."""
        return self._pages.show(request, "sign_in", takes_tokens=self._access.takes_tokens, failed=False)

    async def sign_in(self, request: Request) -> Response:
        """Sign in with an access token."""
        token = await self._access.sign_in((await fields(request)).get("access_token", ""))
        audit("access token", "sign in", "done" if token else "missing")
        if token is None:
            return self._pages.show(request, "sign_in", status=403, takes_tokens=self._access.takes_tokens, failed=True)
        return self._signed_in(request, token)

    async def sign_out(self, request: Request) -> Response:
        """End the session of the page."""
        await self._access.sign_out(request)
        response = RedirectResponse(f"{request.scope.get('root_path', '')}/sign-in", 303)
        self._access.forget(response)
        return response

    def _signed_in(self, request: Request, token: str) -> Response:
        response = RedirectResponse(f"{request.scope.get('root_path', '')}/", 303)
        self._access.remember(response, token)
        return response
