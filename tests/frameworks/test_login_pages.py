"""The pages of the login examples in a real Chromium: forms, devices, forms of other sites, accessibility."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.chromium import MILLISECONDS, SCREENSHOTS, axe_script, launched, problems
from tests.support.login_sites import COOKIES, FIRST, Site, served

pytestmark = pytest.mark.timeout(240)

# The others are as this one, and run with -m long only: their pages are the same files.
USUAL = {"flask"}
SITES = [pytest.param(each, marks=pytest.mark.slow if each in USUAL else pytest.mark.long) for each in COOKIES]
PHONE = "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module", params=SITES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, secret_key: str) -> Iterator[Site]:
    with served(request.param, tmp_path_factory.mktemp("site"), secret_key) as site:
        yield site


def opened(chromium: Browser, site: Site, agent: str | None = None) -> BrowserContext:
    context = chromium.new_context(
        base_url=f"http://127.0.0.1:{site.port}", user_agent=agent, viewport={"width": 360, "height": 700}
    )
    context.set_default_timeout(MILLISECONDS)
    return context


def log_in(context: BrowserContext, user: str) -> Page:
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Name").fill(user)
    page.get_by_label("Password").fill(FIRST)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name=f"Hello, {user}")).to_be_visible()
    return page


def test_a_user_registers_logs_in_on_two_devices_and_ends_one_from_the_other(chromium: Browser, site: Site) -> None:
    laptop, phone = opened(chromium, site), opened(chromium, site, PHONE)
    page = laptop.new_page()
    page.goto("/")
    page.get_by_role("link", name="Register").click()
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(FIRST)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    page = log_in(laptop, "ada")
    on_phone = log_in(phone, "ada")
    page.reload()
    expect(page.get_by_role("row")).to_have_count(3)
    expect(page.get_by_role("row", name="Chrome on Linux")).to_contain_text("this device")
    expect(page.get_by_role("row", name="Firefox on Android")).to_contain_text("127.0.0.1")
    page.get_by_role("button", name="Log out Firefox on Android").click()
    expect(page.get_by_role("row")).to_have_count(2)
    on_phone.reload()
    expect(on_phone.get_by_role("heading", name="Log in")).to_be_visible()
    page.get_by_role("button", name="Log out everywhere").click()
    expect(page.get_by_role("alert")).to_have_text("Sessions ended: 1.")
    page.goto("/")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    laptop.close()
    phone.close()


@pytest.mark.long
def test_a_form_of_another_site_ends_nothing(chromium: Browser, site: Site) -> None:
    site().post("/register", user="grace", password=FIRST)
    context = opened(chromium, site)
    page = log_in(context, "grace")
    other = context.new_page()
    for path in ("logout", "logout-everywhere"):
        other.goto("data:text/html,<h1>Another site</h1>")
        address = f"http://127.0.0.1:{site.port}/{path}"
        other.set_content(f'<form action="{address}" method="post"><button>Win</button></form>')
        with other.expect_navigation() as navigation:
            other.get_by_role("button").click()
        response = navigation.value
        assert response is not None
        assert response.status == 403
    page.reload()
    expect(page.get_by_role("heading", name="Hello, grace")).to_be_visible()
    context.close()


@pytest.mark.parametrize("site", [pytest.param("flask", marks=pytest.mark.long)], indirect=True)  # the same files
def test_every_page_is_accessible_and_fits_a_phone(
    chromium: Browser, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    axe = axe_script(tmp_path_factory.mktemp("axe") / "browser")
    site().post("/register", user="hedy", password=FIRST)
    site().post("/forgot", user="hedy")
    link = site.outbox.read_text().split()[-1]
    context = opened(chromium, site)
    pages = ["login", "register", "forgot", f"reset/{link}"]
    page = context.new_page()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for path in [*pages, ""]:
        if not path:
            page = log_in(context, "hedy")
        page.goto(f"/{path}")
        assert problems(page, axe) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        page.screenshot(path=SCREENSHOTS / f"login-{path.partition('/')[0] or 'sessions'}.png")
    context.close()
