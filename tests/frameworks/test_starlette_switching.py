"""Sessions of Starlette's own signed cookie go on in the store, once each and until a date."""

import logging
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from itsdangerous import TimestampSigner
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as SignedCookie
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

import crudjt
from crudjt.contrib.starlette import SessionMiddleware, TakeOver

SECRET = "that of before"
TOMORROW = datetime.now(timezone.utc) + timedelta(days=1)


async def log_in(request: Request) -> Response:
    request.session["user"] = "alice"
    return Response()


async def who(request: Request) -> Response:
    return PlainTextResponse(str(request.session.get("user")))


async def fails(request: Request) -> Response:
    return PlainTextResponse(str(request.session.get("user")), 500)


async def raises(request: Request) -> Response:
    request.session.clear()
    raise ValueError


async def log_out(request: Request) -> Response:
    request.session.clear()
    return Response()


async def nothing(_: Request) -> Response:
    return Response()


def site(*middleware: Middleware) -> Starlette:
    acts = (log_in, who, fails, raises, log_out, nothing)
    return Starlette(routes=[Route(f"/{act.__name__}", act) for act in acts], middleware=list(middleware))


def browser_of(store: crudjt.Store, cookie: str, until: Any = TOMORROW) -> TestClient:
    take_over = TakeOver(SECRET, until)
    ours = Middleware(SessionMiddleware, store=store, subject_key="user", take_over=take_over)
    return TestClient(site(ours), "https://testserver", cookies={"session": cookie}, raise_server_exceptions=False)


def old_cookie(secret: str = SECRET) -> str:
    browser = TestClient(site(Middleware(SignedCookie, secret_key=secret)))
    browser.get("/log_in")
    return browser.cookies["session"].strip('"')


def asked(browser: TestClient) -> str:
    return browser.get("/who").text


def test_a_user_stays_logged_in_under_a_new_token_and_the_old_cookie_is_dead(store: crudjt.Store) -> None:
    cookie = old_cookie()
    browser = browser_of(store, cookie)
    answer = browser.get("/who")
    assert answer.text == "alice"
    found = store.peek(answer.cookies["session"])
    assert found is not None
    assert found.subject == "alice"
    assert asked(browser_of(store, answer.cookies["session"])) == "alice"
    for spelling in (
        cookie,
        cookie + "=",
        cookie + "!",
        f'" {cookie}"',
        f'" "{cookie}" "',
        f'" "\\{ord("e"):o}{cookie[1:]}" "',
    ):
        late = browser_of(store, spelling).get("/who")
        assert late.text == "None"
        assert "set-cookie" not in late.headers  # a response that is late must not remove the new one


def test_a_request_that_fails_or_does_not_look_leaves_the_old_session_as_it_is(store: crudjt.Store) -> None:
    browser = browser_of(store, old_cookie())
    assert browser.get("/fails").text == "alice"
    browser.get("/nothing")
    assert store.stats().sessions == 0
    assert asked(browser) == "alice"


@pytest.mark.parametrize("page", ["/log_out", "/raises"])
def test_a_logout_in_the_first_request_ends_the_old_session(store: crudjt.Store, page: str) -> None:
    cookie = old_cookie()
    browser_of(store, cookie).get(page)
    assert asked(browser_of(store, cookie)) == "None"


def test_nothing_is_taken_over_after_the_date_which_is_logged_once(
    store: crudjt.Store, caplog: pytest.LogCaptureFixture
) -> None:
    browser = browser_of(store, old_cookie(), until=date(2026, 1, 1))
    with caplog.at_level(logging.WARNING):
        assert [asked(browser), asked(browser)] == ["None", "None"]
    assert caplog.text.count("the date of the take over has passed") == 1
    assert store.stats().sessions == 0


def test_a_hostile_cookie_changes_nothing(store: crudjt.Store) -> None:
    signer = TimestampSigner(SECRET)
    signed_for_another_purpose = [signer.sign(value).decode() for value in ("5", "NQ==", "not Base64", "e30=")]
    for value in (*signed_for_another_purpose, old_cookie("another"), "x", "A" * 22, "A" * 43, "a." * 1500, ".", ".."):
        assert asked(browser_of(store, value)) == "None"
    assert store.stats().sessions == 0


def test_a_take_over_that_cannot_be_used_is_refused(store: crudjt.Store) -> None:
    for value in ("2027-01-01", datetime(2027, 1, 1), None):  # noqa: DTZ001 - that is what is wrong
        with pytest.raises(crudjt.InvalidParameter, match="take_over"):
            TakeOver(SECRET, value)  # type: ignore[arg-type]
    with pytest.raises(crudjt.InvalidType, match="take_over"):
        SessionMiddleware(site(), store, take_over=SECRET)  # type: ignore[arg-type]
    for key in (None, "", Secret("")):  # an environment without it: anybody could sign by "None", or by nothing
        with pytest.raises(crudjt.InvalidParameter, match="secret_key must"):
            TakeOver(key, TOMORROW)  # type: ignore[arg-type]
    with pytest.raises(crudjt.InvalidType, match="max_age must"):
        TakeOver(Secret(SECRET), TOMORROW, "60")  # type: ignore[arg-type]
