"""Litestar: no sessions; ours; its encrypted cookie; its server-side sessions on its Redis store.

Its server-side sessions have no way to give a session a new identifier at login.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from litestar import Litestar, MediaType, Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.stores.redis import RedisStore
from redis.asyncio import Redis

import crudjt.aio
from benchmarks.keys import SECRET_KEY
from benchmarks.sites import catalogue, interface
from benchmarks.sites.interface import COOKIE, IDLE_SECONDS, LIFETIME_SECONDS, SECRET, USER_KEY, VIEWS, Setup
from crudjt.contrib.litestar import SessionMiddleware


def open_site(setup: Setup) -> Any:
    """Return the application."""
    handlers = [get(f"/{name}", media_type=MediaType.TEXT)(_view(setup, name)) for name in VIEWS]
    redis = setup.sessions == catalogue.REDIS
    stores: Any = {"sessions": RedisStore(Redis.from_url(setup.redis_url))} if redis else None
    return Litestar([*handlers, _anonymous()], middleware=_middleware(setup), stores=stores, openapi_config=None)


def _middleware(setup: Setup) -> list[DefineMiddleware]:
    if setup.sessions == catalogue.OURS:
        return [
            DefineMiddleware(
                SessionMiddleware,
                store=crudjt.aio.open(setup.store, secret_key=SECRET_KEY),
                session_cookie=COOKIE,
                idle_timeout=IDLE_SECONDS if setup.idle else None,
                subject_key=USER_KEY,
            )
        ]
    if setup.sessions == catalogue.SIGNED_COOKIE:  # which it sets with every response, idle or not
        return [CookieBackendConfig(secret=SECRET.encode(), key=COOKIE, secure=True).middleware]
    if setup.sessions == catalogue.REDIS:
        max_age = IDLE_SECONDS if setup.idle else LIFETIME_SECONDS
        return [
            ServerSideSessionConfig(key=COOKIE, secure=True, max_age=max_age, renew_on_access=setup.idle).middleware
        ]
    return []


def _anonymous() -> HTTPRouteHandler:
    @get("/anonymous", media_type=MediaType.TEXT)
    async def anonymous() -> str:
        return "anonymous"

    return anonymous


def _view(setup: Setup, name: str) -> Callable[..., Coroutine[Any, Any, str]]:
    act, without = VIEWS[name], setup.sessions == catalogue.NONE

    async def view(request: Request[Any, Any, Any]) -> str:
        return act(dict(interface.SESSION) if without else request.session)

    return view
