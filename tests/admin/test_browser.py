"""The page in a real Chromium: by mouse, by keyboard, without JavaScript, small and large, light and dark."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

import crudjt
from tests.admin.command import Command, admin
from tests.support.chromium import MILLISECONDS, SCREENSHOTS, axe_script, launched, problems
from tests.support.valkey_stores import SINGLE, ServerPool

pytestmark = pytest.mark.slow

SUBJECTS = ("alice@example.org", "bob", "Zoë Übermut", None)
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script that checks accessibility."""
    return axe_script(tmp_path_factory.mktemp("axe") / "browser")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module", params=["embedded", "valkey"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, secret_key: str, servers: ServerPool
) -> Iterator[tuple[Command, crudjt.Store]]:
    """The page on a store with sessions, and the store."""
    location: Any = tmp_path_factory.mktemp("store") / "store"
    options: dict[str, Any] = {}
    before: tuple[str, ...] = ()
    if request.param == "valkey":
        location, options, before = servers.single("valkey").url("admin"), SINGLE, ("--replicas", "0")
    with crudjt.open(location, secret_key=secret_key, **options) as store:
        for number in range(12):
            subject = SUBJECTS[number % len(SUBJECTS)]
            client = crudjt.Client(f"203.0.113.{number}", AGENT) if subject else None
            idle = 3600 if subject else None
            store.create({"cart": list(range(number))}, ttl=86_400, idle=idle, subject=subject, client=client)
        with admin(location, secret_key, "--show-data", before=before) as command:
            yield command, store


@pytest.fixture(scope="module")
def signed_in(chromium: Browser, running: tuple[Command, crudjt.Store]) -> Any:
    """The state of a browser in which the link was opened."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(running[0].url)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def context(chromium: Browser, signed_in: Any, running: tuple[Command, crudjt.Store]) -> Iterator[BrowserContext]:
    context = chromium.new_context(
        storage_state=signed_in, base_url=running[0].base, viewport={"width": 1440, "height": 900}
    )
    context.set_default_timeout(MILLISECONDS)
    yield context
    context.close()


def a_handle(store: crudjt.Store) -> str:
    return next(store.sessions("bob")).id


@pytest.mark.parametrize("running", ["embedded"], indirect=True)  # the pages are the same
@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1440, "light")])
def test_every_page_fits_and_is_accessible_by_day_and_by_night(
    chromium: Browser,
    running: tuple[Command, crudjt.Store],
    signed_in: Any,
    axe: str,
    width: int,
    scheme: Any,
) -> None:
    command, store = running
    context = chromium.new_context(
        storage_state=signed_in,
        base_url=command.base,
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        bypass_csp=True,  # so that axe can be put into the page
    )
    page = context.new_page()
    handle = a_handle(store)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def look(name: str) -> None:
        page.wait_for_load_state()  # with its style
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert problems(page, axe) == [], name
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png")

    page.goto("/")
    expect(page.get_by_text("Live.")).to_be_visible()
    look("overview")
    page.get_by_role("button", name="Check the store").click()
    expect(page.get_by_text("Nothing is wrong.")).to_be_visible()
    look("check")
    for name, address in (
        ("sessions", "/sessions"),
        ("session", f"/sessions/{handle}"),
        ("confirmation", f"/sessions/{handle}/end"),
        ("missing", f"/sessions/{'0' * 32}"),
    ):
        page.goto(address)
        look(name)
    page.goto("/events")
    expect(page.get_by_text("Live.")).to_be_visible()
    token = store.create({}, subject="event")
    expect(page.get_by_role("cell", name="begun").first).to_be_visible()
    store.delete(token)
    look("events")
    page.goto("/keys")
    page.get_by_role("button", name="Count").click()
    expect(page.get_by_text("makes the new sessions")).to_be_visible()
    look("keys")
    page.goto("/sessions")
    page.get_by_label("Subject, handle or token").fill("bob")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", name="Sessions of bob")).to_be_visible()
    look("subject")
    context.clear_cookies()
    page.goto("/")
    look("sign-in")
    context.close()


def test_the_numbers_follow_the_store_without_a_reload_and_nothing_comes_from_elsewhere(
    context: BrowserContext, running: tuple[Command, crudjt.Store]
) -> None:
    command, store = running
    page = context.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/")
    expect(page.get_by_text("Live.")).to_be_visible()
    before = store.stats().sessions
    tokens = store.create_many([{}] * 1000)
    expect(page.locator("#value-sessions")).to_have_text(f"{before + 1000:,}")
    store.delete_many(tokens)
    expect(page.locator("#value-sessions")).to_have_text(f"{before:,}")
    assert {request.startswith(f"{command.base}/") for request in requests} == {True}
    assert complaints == []


def test_the_keyboard_alone_finds_and_ends_the_sessions_of_a_user(
    context: BrowserContext, running: tuple[Command, crudjt.Store]
) -> None:
    _, store = running
    store.create_many([{}] * 3, subject="keyboard")
    page = context.new_page()
    page.goto("/sessions")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Subject, handle or token")).to_be_focused()
    page.keyboard.type("keyboard")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Sessions of keyboard")).to_be_visible()
    page.get_by_role("button", name="End all…").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="End 3 sessions?")).to_be_visible()
    page.get_by_role("button", name="End", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Ended 3 sessions")).to_be_visible()
    assert list(store.sessions("keyboard")) == []


def test_without_javascript_a_pasted_token_finds_a_session_which_is_ended_and_no_address_holds_it(
    chromium: Browser, running: tuple[Command, crudjt.Store], signed_in: Any
) -> None:
    command, store = running
    token = store.create({}, subject="pasted")
    context = chromium.new_context(storage_state=signed_in, base_url=command.base, java_script_enabled=False)
    page = context.new_page()
    told: list[str] = []
    page.on("request", lambda request: told.append(f"{request.url} {request.headers.get('referer', '')}"))
    page.goto("/")
    expect(page.get_by_role("heading", name="Numbers")).to_be_visible()
    page.goto("/sessions")
    page.get_by_label("Subject, handle or token").fill(token)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="End this session…").click()
    page.get_by_role("button", name="End", exact=True).click()
    expect(page.get_by_role("heading", name="Ended 1 session")).to_be_visible()
    assert store.peek(token) is None
    assert [each for each in told if token in each or not each.endswith(" ")] == []
    context.close()
