"""Who gets in: the one-time link, access tokens, the sessions of the page, and applications that decide themselves."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.testclient import TestClient

import crudjt
from crudjt import admin
from crudjt.testing import FakeClock
from tests.admin.page import ACCESS_TOKEN, SAME_ORIGIN, Page, handles

PAGES = ("/", "/live", "/sessions", f"/sessions/{'0' * 32}", f"/sessions/{'0' * 32}/end")
FORMS = ("/search", "/subject", "/subject/end", "/subject/end/confirmed", f"/sessions/{'0' * 32}/end")


def test_a_visitor_gets_no_page_but_the_one_to_sign_in(page: Page) -> None:
    with page.client() as visitor:
        for path in PAGES:
            answer = visitor.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        for path in FORMS:
            assert visitor.post(path, data={"wanted": "alice"}).status_code == 401
        assert "crudjt admin" in visitor.get("/sign-in").text


def test_a_link_signs_in_once_and_within_ten_minutes(page: Page, clock: FakeClock) -> None:
    with page.client() as client, page.client() as late:
        assert client.portal is not None
        code = client.portal.call(page.access.new_link_code)
        answer = client.get(f"/enter/{code}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert "SameSite=strict" in answer.headers["set-cookie"]
        assert client.get("/").status_code == 200
        assert late.get(f"/enter/{code}").status_code == 403
        other = client.portal.call(page.access.new_link_code)
        clock.advance(600)
        assert late.get(f"/enter/{other}").status_code == 403
        assert late.get("/").status_code == 303


def test_a_session_of_the_page_ends_when_it_is_not_used_for_half_an_hour(client: TestClient, clock: FakeClock) -> None:
    clock.advance(1799)
    assert client.get("/sessions").status_code == 200
    clock.advance(1800)
    assert client.get("/sessions").status_code == 303


def test_a_session_of_the_page_ends_after_half_a_day(client: TestClient, clock: FakeClock) -> None:
    for _ in range(27):
        clock.advance(1599)
        assert client.get("/sessions").status_code == 200
    clock.advance(43_200 - 27 * 1599)
    assert client.get("/sessions").status_code == 303


def test_an_operator_signs_out(client: TestClient) -> None:
    cookie = dict(client.cookies)
    assert client.post("/sign-out").headers["location"] == "/sign-in"
    client.cookies.update(cookie)
    assert client.get("/").status_code == 303


def test_the_sessions_of_the_page_are_in_the_store_and_can_be_ended_there(
    client: TestClient, store: crudjt.Store
) -> None:
    assert store.revoke("crudjt admin") == 1
    assert client.get("/").status_code == 303


def test_no_session_of_an_application_passes_for_one_of_the_page(page: Page, store: crudjt.Store) -> None:
    forged: list[dict[str, Any]] = [{"operator": "eve"}, {"crudjt_admin": "guessed", "operator": "eve"}]
    with page.client() as visitor:
        for data in forged:
            token = store.create(data, subject="crudjt admin")
            visitor.cookies.set("crudjt_admin", token)
            assert visitor.get("/").status_code == 303
            assert visitor.get(f"/enter/{token}").status_code == 403
            assert store.peek(token) is not None


def test_the_session_of_one_run_is_none_of_another(client: TestClient, store: crudjt.Store) -> None:
    with Page(store).client() as other:
        other.cookies.update(client.cookies)
        assert other.get("/").status_code == 303


def test_an_access_token_signs_in_and_a_wrong_one_does_not(store: crudjt.Store, audited: list[dict[str, Any]]) -> None:
    with Page(store, ("another-token-of-an-operator", ACCESS_TOKEN)).client() as client:
        refused = client.post("/sign-in", data={"access_token": ACCESS_TOKEN[:-1]})
        assert refused.status_code == 403
        assert ACCESS_TOKEN[:-1] not in refused.text
        assert client.post("/sign-in", data={"access_token": ACCESS_TOKEN}).headers["location"] == "/"
        assert "access token 2" in client.get("/").text
    assert [each["result"] for each in audited] == ["missing", "done"]


# Forms of other pages


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": "http://testserver"}, True),
        ({"Origin": "http://testserver.example"}, False),
        ({"Origin": "null"}, False),
        ({}, False),
    ],
)
def test_only_forms_of_the_page_itself_are_taken(
    client: TestClient, store: crudjt.Store, headers: dict[str, str], taken: bool
) -> None:
    token = store.create({}, subject="bob")
    del client.headers["Sec-Fetch-Site"]
    answer = client.post("/subject/end/confirmed", data={"subject": "bob"}, headers=headers)
    assert answer.status_code == (200 if taken else 403)
    assert (store.peek(token) is None) == taken


# In an application


def mounted(store: crudjt.Store, authorize: admin.Authorize, **options: bool) -> TestClient:
    app = Starlette(routes=[Mount("/staff/sessions", admin.app(store, authorize=authorize, **options))])
    return TestClient(app, headers=SAME_ORIGIN, follow_redirects=False)


def test_an_application_decides_by_itself_who_is_an_operator(
    store: crudjt.Store, audited: list[dict[str, Any]]
) -> None:
    async def authorize(request: Request) -> str | None:
        return request.headers.get("staff")

    token = store.create({}, subject="bob")
    with mounted(store, authorize) as client:
        assert client.get("/staff/sessions/").status_code == 403
        client.headers["staff"] = "carol"
        assert 'href="/staff/sessions/sessions"' in client.get("/staff/sessions/").text
        (handle,) = handles(client.get("/staff/sessions/sessions").text)
        found = client.post("/staff/sessions/search", data={"wanted": token})
        assert found.headers["location"] == f"/staff/sessions/sessions/{handle}"
        assert client.get("/staff/sessions/sign-in").status_code == 404
        assert client.post(f"/staff/sessions/sessions/{handle}/end").status_code == 200
    assert store.peek(token) is None
    assert audited[-1] == {"operator": "carol", "action": "end session", "result": "done", "handle": handle}


def test_what_does_not_decide_is_refused_in_words(store: crudjt.Store) -> None:
    with pytest.raises(crudjt.InvalidType, match="authorize must be a function"):
        admin.app(store, authorize="carol")  # type: ignore[arg-type] # that is the mistake
    with pytest.raises(crudjt.InvalidType, match="store must be an open store"):
        admin.app("sessions", authorize=lambda _request: None)  # type: ignore[arg-type] # as above
