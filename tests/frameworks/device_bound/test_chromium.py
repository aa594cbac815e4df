"""A real Chromium on every framework: it binds sessions, and loses its cookie or its binding."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, expect, sync_playwright

import crudjt
from crudjt.testing import FakeClock
from tests.support.device_chromium import CHROMIUM, Certificate, arguments, certificate, serving
from tests.support.device_sites import DEVICE_SITES, DeviceSite, StarletteDeviceSite
from tests.support.devices import DeviceBrowser
from tests.support.processes import PATIENCE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="device bound sessions are tested with Chromium, which is not installed"
    ),
]

MILLISECONDS = int(PATIENCE * 1000)
STEP = 20  # milliseconds


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def chromium(used: Certificate) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments(used))
        yield browser
        browser.close()


class Tab:
    """A tab of a browser at a site."""

    def __init__(self, site: DeviceSite, url: str, context: BrowserContext) -> None:
        self.site = site
        self.url = url
        self.context = context
        self.page: Page = context.new_page()
        context.set_default_timeout(MILLISECONDS)

    def get(self, target: str = "/") -> Any:
        """Open a page; return what the site says of the session."""
        response = self.page.goto(self.url + target)
        assert response is not None
        assert response.status == 200
        return response.json()

    def cookies(self) -> dict[str, str]:
        return {each["name"]: each["value"] for each in self.context.cookies(self.url)}

    def log_in(self, user: str = "ada") -> None:
        """Log in, and wait until the session is bound."""
        before = self.cookies().get(self.site.bound_cookie)
        self.get(f"/login?user={user}")
        self.until(lambda: self.cookies().get(self.site.bound_cookie) not in (None, before))

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(MILLISECONDS // STEP):
            if condition():
                return
            self.page.wait_for_timeout(STEP)
        raise AssertionError("it did not happen in time")

    def lose_the_bound_cookie(self) -> None:
        """Do as time does."""
        self.context.clear_cookies(name=self.site.bound_cookie)


@pytest.mark.parametrize("name", ["django", "fastapi", "flask", "litestar", "starlette"])
def test_chromium_binds_a_session_and_refreshes_it_until_it_is_logged_out_or_revoked(
    name: str, store: crudjt.Store, clock: FakeClock, chromium: Browser, used: Certificate
) -> None:
    with closing(DEVICE_SITES[name](store)) as site, serving(site, used) as url, chromium.new_context() as context:
        tab = Tab(site, url, context)
        tab.log_in()
        clock.advance(60)
        assert (tab.get()["user"], tab.get()["bound"]) == ("ada", True)
        [session] = store.sessions("ada")
        tab.lose_the_bound_cookie()
        assert tab.get()["user"] == "ada"
        assert site.bound_cookie in tab.cookies()
        assert [each.version for each in store.sessions("ada")] == [session.version]
        tab.get("/logout")
        assert tab.cookies() == {}
        tab.log_in()
        assert tab.get()["bound"] is True
        store.revoke("ada")
        tab.lose_the_bound_cookie()
        assert tab.get()["user"] is None
        tab.log_in()
        assert tab.get()["bound"] is True


@pytest.fixture
def tab(store: crudjt.Store, chromium: Browser, used: Certificate) -> Iterator[Tab]:
    with closing(StarletteDeviceSite(store)) as site, serving(site, used) as url, chromium.new_context() as context:
        tab = Tab(site, url, context)
        tab.log_in()
        yield tab


def test_a_link_from_another_site_arrives_logged_in(tab: Tab, clock: FakeClock) -> None:
    clock.advance(60)
    tab.lose_the_bound_cookie()
    tab.page.goto(tab.url.replace("localhost", "127.0.0.1"))
    tab.page.set_content(f"<a href='{tab.url}/'>there</a>")
    tab.page.click("a")
    expect(tab.page.locator("body")).to_contain_text('"user": "ada"', timeout=MILLISECONDS)


def test_another_user_logs_in_over_a_bound_session(tab: Tab, store: crudjt.Store, clock: FakeClock) -> None:
    clock.advance(60)
    tab.log_in("bob")
    clock.advance(60)
    tab.lose_the_bound_cookie()
    assert tab.get() == {**tab.get(), "user": "bob", "bound": True}
    assert list(store.sessions("ada")) == []


def events_of(tab: Tab) -> tuple[CDPSession, list[Any], list[Any]]:
    """Return the developer tools of a tab, the bound sessions of the browser, and the events that will come."""
    devtools = tab.context.new_cdp_session(tab.page)
    added: list[Any] = []
    events: list[Any] = []
    devtools.on("Network.deviceBoundSessionsAdded", lambda event: added.extend(event["sessions"]))
    devtools.on("Network.deviceBoundSessionEventOccurred", lambda event: events.append(event))  # noqa: PLW0108 - Playwright notes something in the function
    devtools.send("Network.enable")
    devtools.send("Network.enableDeviceBoundSessions", {"enable": True})
    tab.until(lambda: bool(added))
    return devtools, added, events


def test_a_browser_that_has_lost_its_binding_can_log_in(tab: Tab, store: crudjt.Store, clock: FakeClock) -> None:
    clock.advance(60)
    devtools, [bound], _ = events_of(tab)
    devtools.send("Network.deleteDeviceBoundSession", {"key": bound["key"]})
    tab.lose_the_bound_cookie()
    assert tab.get()["user"] is None
    tab.log_in()
    assert tab.get()["bound"] is True
    assert len(list(store.sessions("ada"))) == 2  # the lost one was not ended: that would be for thieves to do


def test_the_copied_token_is_of_no_use_and_the_owner_goes_on(tab: Tab, clock: FakeClock) -> None:
    clock.advance(60)
    thief, copier = DeviceBrowser(tab.site), DeviceBrowser(tab.site)
    copier.cookies = tab.cookies()
    thief.cookies = {tab.site.session_cookie: copier.cookies[tab.site.session_cookie]}
    assert thief.get().json["user"] is None
    assert copier.get().json["user"] == "ada"
    clock.advance(600)
    assert copier.get().json["user"] is None
    tab.lose_the_bound_cookie()
    assert tab.get()["user"] == "ada"


def test_what_a_page_sends_waits_for_one_refresh_and_arrives(tab: Tab, clock: FakeClock) -> None:
    tab.get()
    clock.advance(60)
    _, _, events = events_of(tab)
    tab.lose_the_bound_cookie()
    users = tab.page.evaluate(
        "Promise.all([...Array(8)].map(async () => (await (await fetch('/put?a=1', {method: 'POST'})).json()).user))"
    )
    assert users == ["ada"] * 8
    tab.until(lambda: any("refreshEventDetails" in event for event in events))
    results = [event["refreshEventDetails"]["refreshResult"] for event in events if "refreshEventDetails" in event]
    assert results == ["Refreshed"]
    tab.lose_the_bound_cookie()
    opened = tab.page.evaluate(
        "new Promise(done => { const socket = new WebSocket(`wss://${location.host}/socket`);"
        " socket.onopen = () => done(true); socket.onerror = () => done(false) })"
    )
    assert opened is True


def test_a_bound_session_outlives_the_browser(
    store: crudjt.Store, clock: FakeClock, used: Certificate, tmp_path: Path, chromium: Browser
) -> None:
    with closing(StarletteDeviceSite(store)) as site, serving(site, used) as url:
        for begins in (True, False):
            context = chromium.browser_type.launch_persistent_context(
                tmp_path / "profile", executable_path=CHROMIUM, args=arguments(used)
            )
            tab = Tab(site, url, context)
            if begins:
                tab.log_in()
            else:
                clock.advance(60)
                tab.lose_the_bound_cookie()
                assert tab.get()["user"] == "ada"
            context.close()
