"""Litestar's own server-side sessions go on in the store, once each and until a date."""

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from litestar import Litestar, Request, get
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.stores.memory import MemoryStore
from litestar.testing import TestClient

import crudjt
from crudjt.contrib.litestar import SessionConfig, TakeOver

TOMORROW = datetime.now(timezone.utc) + timedelta(days=1)
AnyRequest = Request[Any, Any, Any]


@get("/log_in")
async def log_in(request: AnyRequest) -> None:
    request.session["user"] = "alice"


@get("/who")
async def who(request: AnyRequest) -> str:
    return str(request.session.get("user"))


@get("/fails", status_code=500)
async def fails(request: AnyRequest) -> str:
    return str(request.session.get("user"))


@get("/log_out")
async def log_out(request: AnyRequest) -> None:
    request.clear_session()


@get("/nothing")
async def nothing() -> None:
    pass


class Site:
    """An application before and after its switch."""

    def __init__(self, store: crudjt.Store, until: Any = TOMORROW) -> None:
        self.kept = MemoryStore()
        self._before = ServerSideSessionConfig()
        self._after = SessionConfig(store, subject_key="user", take_over=TakeOver(self._before, until))

    def browser(self, cookie: str | None = None, *, before: bool = False) -> TestClient[Litestar]:
        config: Any = self._before if before else self._after
        application = Litestar(
            [log_in, who, fails, log_out, nothing], middleware=[config.middleware], stores={"sessions": self.kept}
        )
        cookies = {} if cookie is None else {"session": cookie}
        return TestClient(application, "https://testserver.local", raise_server_exceptions=False, cookies=cookies)

    def old_cookie(self) -> str:
        return self.browser(before=True).get("/log_in").cookies["session"]

    def who(self, cookie: str, *, before: bool = False) -> str:
        return self.browser(cookie, before=before).get("/who").text


def test_a_user_stays_logged_in_under_a_new_token_and_the_old_cookie_is_dead(store: crudjt.Store) -> None:
    site = Site(store)
    cookie = site.old_cookie()
    assert site.who(cookie, before=True) == "alice"
    answer = site.browser(cookie).get("/who")
    assert answer.text == "alice"
    found = store.peek(answer.cookies["session"])
    assert found is not None
    assert found.subject == "alice"
    assert site.who(answer.cookies["session"]) == "alice"
    late = site.browser(cookie).get("/who")
    assert late.text == "None"
    assert "set-cookie" not in late.headers
    assert site.who(cookie, before=True) == "None"


def test_a_request_that_fails_or_does_not_look_leaves_the_old_session_as_it_is(store: crudjt.Store) -> None:
    site = Site(store)
    cookie = site.old_cookie()
    assert site.browser(cookie).get("/fails").text == "alice"
    site.browser(cookie).get("/nothing")
    assert store.stats().sessions == 0
    assert site.who(cookie) == "alice"


def test_a_logout_in_the_first_request_ends_the_old_session(store: crudjt.Store) -> None:
    site = Site(store)
    cookie = site.old_cookie()
    site.browser(cookie).get("/log_out")
    assert site.who(cookie) == "None"
    assert site.who(cookie, before=True) == "None"


def test_nothing_is_taken_over_after_the_date_or_for_a_hostile_cookie(store: crudjt.Store) -> None:
    site = Site(store, until=date(2026, 1, 1))
    assert site.who(site.old_cookie()) == "None"
    for value in ("x", "null", "A" * 22, "0" * 64, "../" * 9, "a." * 1500):
        assert Site(store).who(value) == "None"
    assert store.stats().sessions == 0


def test_a_take_over_that_cannot_be_used_is_refused(store: crudjt.Store) -> None:
    with pytest.raises(crudjt.InvalidParameter, match="take_over"):
        TakeOver(ServerSideSessionConfig(), "2027-01-01")  # type: ignore[arg-type]
    with pytest.raises(crudjt.InvalidType, match="take_over"):
        TakeOver("sessions", TOMORROW)  # type: ignore[arg-type]
    with pytest.raises(crudjt.InvalidType, match="take_over"):
        SessionConfig(store, take_over=TOMORROW)  # type: ignore[arg-type]
    with pytest.raises(crudjt.InvalidParameter, match="another name: set its key to 'session'"):
        SessionConfig(store, take_over=TakeOver(ServerSideSessionConfig(key="old"), TOMORROW))
