"""Starlette and FastAPI: no sessions; ours; Starlette's own signed cookie; starsessions on Redis."""

from collections.abc import Callable, Coroutine
from typing import Any

import fastapi
import starsessions
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starsessions.stores.redis import RedisStore

import crudjt.aio
import crudjt.contrib.starlette
from benchmarks.keys import SECRET_KEY
from benchmarks.sites import catalogue, interface
from benchmarks.sites.interface import COOKIE, IDLE_SECONDS, LIFETIME_SECONDS, SECRET, USER_KEY, VIEWS, Setup

View = Callable[[Request], Coroutine[Any, Any, Response]]


def open_starlette(setup: Setup) -> Any:
    """Return an application of Starlette."""
    routes = [Route(f"/{name}", view) for name, view in _views(setup).items()]
    return Starlette(routes=routes, middleware=_middleware(setup))


def open_fastapi(setup: Setup) -> Any:
    """Return an application of FastAPI."""
    app = fastapi.FastAPI(openapi_url=None, middleware=_middleware(setup))
    for name, view in _views(setup).items():
        app.get(f"/{name}", response_class=PlainTextResponse)(view)
    return app


def _middleware(setup: Setup) -> list[Middleware]:
    if setup.sessions == catalogue.OURS:
        return [
            Middleware(
                crudjt.contrib.starlette.SessionMiddleware,
                store=crudjt.aio.open(setup.store, secret_key=SECRET_KEY),
                session_cookie=COOKIE,
                idle_timeout=IDLE_SECONDS if setup.idle else None,
                subject_key=USER_KEY,
            )
        ]
    if setup.sessions == catalogue.SIGNED_COOKIE:  # which it sets with every response, idle or not
        return [Middleware(SessionMiddleware, secret_key=SECRET, session_cookie=COOKIE, https_only=True)]
    if setup.sessions == catalogue.REDIS:
        return [
            Middleware(
                starsessions.SessionMiddleware,
                store=RedisStore(connection=Redis.from_url(setup.redis_url)),
                lifetime=IDLE_SECONDS if setup.idle else LIFETIME_SECONDS,
                rolling=setup.idle,
                cookie_name=COOKIE,
            )
        ]
    return []


def _views(setup: Setup) -> dict[str, View]:
    async def anonymous(_request: Request) -> Response:
        return PlainTextResponse("anonymous")

    return {name: _view(setup, name) for name in VIEWS} | {"anonymous": anonymous}


def _view(setup: Setup, name: str) -> View:
    act, without, by_redis = VIEWS[name], setup.sessions == catalogue.NONE, setup.sessions == catalogue.REDIS
    regenerates = by_redis and name == "login"

    async def view(request: Request) -> Response:
        if by_redis:  # where a view uses the session, so that others ask Redis nothing
            await starsessions.load_session(request)
        answer = act(dict(interface.SESSION) if without else request.session)
        if regenerates:
            starsessions.regenerate_session_id(request)
        return PlainTextResponse(answer)

    return view
