"""Logins at an OpenID provider, which can end them here too: Starlette, and Authlib for the login.

    export CRUDJT_SECRET_KEY=$(crudjt keygen) DIRECTORY=/srv/app
    export OIDC_ISSUER=https://login.example.com OIDC_CLIENT_ID=shop OIDC_CLIENT_SECRET=…
    export OIDC_JWKS_URI=https://login.example.com/jwks    # jwks_uri in its /.well-known/openid-configuration
    uvicorn --workers 2 --app-dir examples --factory oidc_logout.oidc_site:create_app

Register two addresses at the provider: ``/callback``, to which the browser returns, and ``/oidc/logout``, to which
logout tokens go (``backchannel_logout_uri``). ``GET /`` shows who is logged in, ``/login`` begins a login.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from authlib.integrations.starlette_client import OAuth
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

import crudjt.aio
from crudjt.contrib.back_channel_logout import AsyncBackChannelLogout
from crudjt.contrib.back_channel_logout.starlette import endpoint
from crudjt.contrib.starlette import SessionMiddleware, session_of


class Site:
    """The pages."""

    def __init__(self, directory: Path, issuer: str, client_id: str, client_secret: str) -> None:
        """Open the sessions of a directory."""
        self.sessions = crudjt.aio.open(directory / "sessions")
        self.logout = AsyncBackChannelLogout(
            self.sessions,
            issuer=issuer,
            client_id=client_id,
            jwks_uri=os.environ.get("OIDC_JWKS_URI", f"{issuer}/jwks"),
        )
        self.provider = OAuth().register(
            "provider",
            server_metadata_url=f"{issuer}/.well-known/openid-configuration",
            client_id=client_id,
            client_secret=client_secret,
            client_kwargs={"scope": "openid", "code_challenge_method": "S256"},
        )

    async def show(self, request: Request) -> Response:
        """Show who is logged in."""
        return PlainTextResponse(session_of(request).subject or "nobody")

    async def login(self, request: Request) -> Response:
        """Send the browser to the provider."""
        response: Response = await self.provider.authorize_redirect(request, request.url_for("callback"))
        return response

    async def callback(self, request: Request) -> Response:
        """Log in whom the provider has sent back, with the labels by which it can end the session."""
        token = await self.provider.authorize_access_token(request)
        claims = token["userinfo"]  # the claims of the ID token, which Authlib has verified
        session = session_of(request)
        session.subject = claims["sub"]
        session.labels = self.logout.labels(claims)
        return RedirectResponse("/", 303)


def create_app() -> Starlette:
    """Return the application, as the environment says."""
    environment = os.environ
    site = Site(
        Path(environment["DIRECTORY"]),
        environment["OIDC_ISSUER"],
        environment["OIDC_CLIENT_ID"],
        environment["OIDC_CLIENT_SECRET"],
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await site.sessions.close()

    over_https = environment["OIDC_ISSUER"].startswith("https://")
    return Starlette(
        routes=[
            Route("/", site.show),
            Route("/login", site.login),
            Route("/callback", site.callback, name="callback"),
            Route("/oidc/logout", endpoint(site.logout), methods=["POST"]),
        ],
        middleware=[Middleware(SessionMiddleware, store=site.sessions, subject_key=None, https_only=over_https)],
        lifespan=lifespan,
    )
