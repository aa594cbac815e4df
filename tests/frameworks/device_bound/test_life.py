"""The life of a bound session, on every framework: offer, registration, requests, refresh, rotation, logout."""

import crudjt
from crudjt.testing import FakeClock
from tests.support.device_sites import DeviceSite
from tests.support.devices import DeviceBrowser


def versions(store: crudjt.Store, browser: DeviceBrowser) -> int:
    session = store.peek(browser.token)
    assert session is not None
    return session.version


def test_a_login_offers_and_a_device_is_registered_once(site: DeviceSite, store: crudjt.Store) -> None:
    browser = DeviceBrowser(site)
    first = browser.get("/login?user=ada")
    assert first.json["bound"] is False
    offers = [value for name, value in first.headers if name.lower() == "secure-session-registration"]
    assert len(offers) == 1
    assert offers[0].startswith('(ES256);path="/-/device/register";challenge="')
    before = versions(store, browser)
    answer = browser.register()
    assert answer.status == 200
    assert answer.json["credentials"] == [
        {"type": "cookie", "name": site.bound_cookie, "attributes": "Path=/; Secure; HttpOnly; SameSite=Lax"}
    ]
    assert answer.json["scope"] == {"include_site": False}
    assert answer.json["refresh_url"] == "/-/device/refresh"
    assert "Max-Age=600" in answer.cookies[0]
    assert len(browser.bound or "") == 54
    shown = browser.get().json
    assert (shown["user"], shown["bound"], shown["keys"]) == ("ada", True, [])
    assert versions(store, browser) == before + 1
    assert browser.get().header("secure-session-registration") is None


def test_a_bound_session_is_served_with_its_cookie_until_that_ends(
    browser: DeviceBrowser, clock: FakeClock, store: crudjt.Store
) -> None:
    version = versions(store, browser)
    clock.advance(599)
    assert browser.get().json["user"] == "ada"
    clock.advance(2)
    assert browser.get().json["user"] is None
    assert browser.refresh().status == 200
    assert browser.get().json["user"] == "ada"
    assert versions(store, browser) == version


def test_requests_that_were_under_way_at_the_registration_are_served(browser: DeviceBrowser, clock: FakeClock) -> None:
    early = browser.without_proof()
    clock.advance(30)
    assert early.get().json["user"] == "ada"
    clock.advance(1)
    assert early.get().json["user"] is None


def test_a_refresh_without_proof_gets_a_challenge_and_then_a_cookie(browser: DeviceBrowser) -> None:
    old = browser.challenge
    del browser.cookies[browser.site.bound_cookie]
    asked = browser.send("POST", "/-/device/refresh", {"sec_secure_session_id": f'"{browser.identifier}"'})
    assert asked.status == 403
    assert asked.header("secure-session-challenge") == f'"{browser.challenge}";id="{browser.identifier}"'
    assert browser.refresh().status == 200
    assert browser.bound
    assert old


def test_a_rotation_and_a_login_of_the_same_user_keep_the_binding(browser: DeviceBrowser, clock: FakeClock) -> None:
    clock.advance(60)
    for target in ("/rotate", "/login?user=ada"):
        token = browser.token
        answer = browser.get(target)
        assert browser.token != token
        assert answer.header("secure-session-registration") is None
        assert browser.get().json["bound"] is True
        assert browser.refresh().status == 200


def test_a_login_of_another_user_begins_an_unbound_session_with_a_new_offer(
    browser: DeviceBrowser, clock: FakeClock
) -> None:
    clock.advance(60)
    answer = browser.get("/login?user=bob")
    assert answer.header("secure-session-registration")
    assert browser.get().json["bound"] is False
    assert browser.refresh().json == {"session_identifier": browser.identifier, "continue": False}
    assert browser.register().status == 200
    assert browser.get().json["user"] == "bob"


def test_a_bound_cookie_does_not_outlive_its_session_and_no_later_page_makes_an_offer(
    site: DeviceSite, clock: FakeClock
) -> None:
    browser = DeviceBrowser(site)
    browser.get("/login?user=ada")
    later = browser.get("/lasting?seconds=400")
    assert later.cookies
    assert later.header("secure-session-registration") is None
    assert "Max-Age=400" in browser.register().cookies[0]
    browser.identifier = browser.register().json["session_identifier"]
    clock.advance(100)
    assert "Max-Age=300" in browser.refresh().cookies[0]


def test_a_session_that_follows_a_logout_in_one_request_is_not_bound(browser: DeviceBrowser) -> None:
    old = browser.token
    browser.get("/clear-and-put?cart=1")
    assert browser.token != old
    assert (browser.get().json["keys"], browser.get().json["bound"]) == (["cart"], False)
    assert browser.refresh().json["continue"] is False


def test_a_logout_removes_both_cookies_and_the_next_refresh_ends_the_binding(browser: DeviceBrowser) -> None:
    browser.get("/logout")
    assert browser.cookies == {}
    assert browser.refresh().status == 401


def test_a_revoked_session_is_ended_at_the_next_refresh(browser: DeviceBrowser, store: crudjt.Store) -> None:
    store.revoke("ada")
    assert browser.refresh().status == 401
    assert browser.get().json["user"] is None


def test_the_application_neither_sees_nor_clears_the_binding(
    browser: DeviceBrowser, store: crudjt.Store, clock: FakeClock
) -> None:
    clock.advance(60)
    browser.get("/put?cart=1")
    shown = browser.get("/replace").json
    assert shown["keys"] == []
    assert "device" not in shown["repr"].replace("device_sites", "")
    assert browser.without_proof().get().json["user"] is None
    assert browser.get().json["bound"] is True
