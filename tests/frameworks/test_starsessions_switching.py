"""Sessions of starsessions go on in the store, once each and until a date."""

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis.asyncio
import starsessions
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starsessions.stores.redis import RedisStore

import crudjt
from crudjt.contrib.starlette import SessionMiddleware, TakeOverStarsessions
from tests.support.valkey_stores import ServerPool

TOMORROW = datetime.now(timezone.utc) + timedelta(days=1)


async def log_in(request: Request) -> Response:
    request.session["user"] = "alice"
    return Response()


async def who(request: Request) -> Response:
    return PlainTextResponse(str(request.session.get("user")))


class Site:
    """An application before and after its switch, under two paths."""

    def __init__(self, store: crudjt.Store, old: starsessions.SessionStore, until: Any = TOMORROW) -> None:
        taken = TakeOverStarsessions(old, until, lifetime=timedelta(days=1))
        before = [
            Middleware(starsessions.SessionMiddleware, store=old, lifetime=timedelta(days=1)),
            Middleware(starsessions.SessionAutoloadMiddleware),
        ]
        after = [Middleware(SessionMiddleware, store=store, subject_key="user", take_over=taken)]
        routes = [Route("/log_in", log_in), Route("/who", who)]
        mounts = [Mount("/before", routes=routes, middleware=before), Mount("/after", routes=routes, middleware=after)]
        self.browser = TestClient(Starlette(routes=mounts), "https://testserver")

    def get(self, path: str, cookie: str | None = None) -> Any:
        self.browser.cookies.clear()
        return self.browser.get(path, headers={} if cookie is None else {"cookie": f"session={cookie}"})

    def old_cookie(self) -> str:
        return str(self.get("/before/log_in").cookies["session"])

    def who(self, cookie: str, *, before: bool = False) -> str:
        return str(self.get("/before/who" if before else "/after/who", cookie).text)


def stays_logged_in(store: crudjt.Store, site: Site) -> str:
    """Take a session over, and return its old cookie."""
    cookie = site.old_cookie()
    assert site.who(cookie, before=True) == "alice"
    answer = site.get("/after/who", cookie)
    assert answer.text == "alice"
    found = store.peek(answer.cookies["session"])
    assert found is not None
    assert (found.subject, found.data) == ("alice", {"user": "alice"})
    assert site.who(answer.cookies["session"]) == "alice"
    assert site.who(cookie) == "None"
    return cookie


def test_a_user_stays_logged_in_under_a_new_token_and_the_old_session_is_gone(store: crudjt.Store) -> None:
    site = Site(store, starsessions.InMemoryStore())
    assert site.who(stays_logged_in(store, site), before=True) == "None"


def test_a_signed_cookie_of_it_is_taken_over_once(store: crudjt.Store) -> None:
    stays_logged_in(store, Site(store, starsessions.CookieStore("that of before")))


@pytest.mark.slow
def test_sessions_in_redis_are_taken_over_and_removed_there(
    store: crudjt.Store, servers: ServerPool, path: Path
) -> None:
    address = urlsplit(servers.single("redis").url("x")).netloc
    connection = redis.asyncio.Redis.from_url(f"redis://{address}")
    site = Site(store, RedisStore(connection=connection, prefix=str(path)))
    with site.browser:  # one event loop for all requests
        assert site.who(stays_logged_in(store, site), before=True) == "None"
        assert site.browser.portal is not None
        site.browser.portal.call(connection.aclose)


def test_nothing_is_taken_over_after_the_date_or_for_a_hostile_cookie(store: crudjt.Store) -> None:
    old = starsessions.InMemoryStore()
    cookie = Site(store, old).old_cookie()
    assert Site(store, old, until=date(2026, 1, 1)).who(cookie) == "None"
    for place in (old, starsessions.CookieStore("that of before")):
        for value in ("x", "null", "A" * 22, "0" * 32, "../" * 9, "a.b.c", "a." * 1500):
            assert Site(store, place).who(value) == "None"
    assert store.stats().sessions == 0


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(crudjt.InvalidParameter, match="take_over"):
        TakeOverStarsessions(starsessions.InMemoryStore(), "2027-01-01")  # type: ignore[arg-type]
    with pytest.raises(crudjt.InvalidType, match="store"):
        TakeOverStarsessions("redis://", TOMORROW)  # type: ignore[arg-type]
    for parameter in ("lifetime", "serializer"):
        with pytest.raises(crudjt.InvalidType, match=f"^{parameter}"):
            TakeOverStarsessions(starsessions.InMemoryStore(), TOMORROW, **{parameter: "60"})  # type: ignore[arg-type]
