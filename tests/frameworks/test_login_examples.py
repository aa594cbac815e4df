"""The login applications among the examples, each in two worker processes, through real HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import crudjt
from tests.support.web import Browser, gunicorn, serving, workers_in

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
FIRST, SECOND = "correct horse", "battery staple"
COOKIES = {"flask": "session", "django": "sessionid"}


class Site(NamedTuple):
    """An application that is being served."""

    port: int
    log: Path

    def __call__(self, device: str) -> Browser:
        """Open a browser on it."""
        opened = Browser(self.port, device)
        opened.get("/")
        return opened


@pytest.fixture(scope="module", params=sorted(COOKIES))
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, secret_key: str) -> Iterator[Site]:
    """The application of each framework."""
    directory = tmp_path_factory.mktemp("site")
    log = directory / "access.log"
    command = {
        "flask": gunicorn(EXAMPLES / "flask_login", f"flask_site:create_app({str(directory)!r})", log),
        "django": gunicorn(EXAMPLES / "django_login", "django_site:application", log, "--preload"),
    }[request.param]
    environment = {
        "CRUDJT_SECRET_KEY": secret_key,
        "DJANGO_SECRET_KEY": crudjt.generate_secret_key(),
        "DIRECTORY": str(directory),
    }
    with serving(command, **environment) as port:
        yield Site(port, log)


@pytest.fixture
def cookie(request: pytest.FixtureRequest) -> str:
    """The name of the cookie that holds the session."""
    return COOKIES[request.node.callspec.params["site"]]


def logged_in(site: Site, user: str, device: str = "laptop", password: str = FIRST) -> Browser:
    browser = site(device)
    browser.post("/register", user=user, password=FIRST)
    assert browser.post("/login", user=user, password=password).status == 200
    return browser


def asked_of_all(browser: Browser, path: str, site: Site) -> set[int]:
    """Return how every worker answers a request."""
    answers = browser.get_from_every_worker(path, lambda: workers_in(site.log, path))
    return {answer.status for answer in answers}


def test_who_logs_out_in_one_worker_is_logged_out_in_the_other_at_the_next_request(site: Site, cookie: str) -> None:
    browser = logged_in(site, "ada")
    assert asked_of_all(browser, "/?before", site) == {200}
    token = browser.cookies[cookie]
    browser.post("/logout")
    assert cookie not in browser.cookies
    browser.cookies[cookie] = token
    assert asked_of_all(browser, "/?after", site) == {401}


def test_the_cookie_is_for_tls_only_and_hidden_from_scripts(site: Site, cookie: str) -> None:
    attributes = logged_in(site, "grace").attributes[cookie]
    assert attributes["secure"]
    assert attributes["httponly"]
    assert attributes["samesite"] in ("Lax", "Strict")
    assert attributes["path"] == "/"


def test_a_planted_cookie_is_another_after_the_login(site: Site, cookie: str) -> None:
    for planted in ("A" * 22, logged_in(site, "mallory").cookies[cookie]):
        victim = site("laptop")
        victim.cookies[cookie] = planted
        victim.post("/register", user="barbara", password=FIRST)
        victim.post("/login", user="barbara", password=FIRST)
        assert victim.cookies[cookie] != planted
        assert victim.get("/").json["user"] == "barbara"
        attacker = site("attacker")
        attacker.cookies[cookie] = planted
        assert attacker.get("/").status == 401


def test_who_logs_in_again_gets_another_token(site: Site, cookie: str) -> None:
    browser = logged_in(site, "frances")
    token = browser.cookies[cookie]
    browser.post("/login", user="frances", password=FIRST)
    assert browser.cookies[cookie] != token
    assert len(browser.get("/").json["sessions"]) == 1


def test_a_user_sees_own_sessions_on_other_devices_and_ends_them(site: Site) -> None:
    phone, laptop = logged_in(site, "katherine", "phone"), logged_in(site, "katherine", "laptop")
    sessions = laptop.get("/").json["sessions"]
    assert {each["device"]: each["here"] for each in sessions} == {"phone": False, "laptop": True}
    handle = next(each["handle"] for each in sessions if each["device"] == "phone")
    stranger = logged_in(site, "eve")
    assert stranger.post(f"/sessions/{handle}/end").status == 404
    assert phone.get("/").status == 200
    assert laptop.post(f"/sessions/{handle}/end").status == 200
    assert (phone.get("/").status, laptop.get("/").status) == (401, 200)


def test_a_handle_is_no_cookie(site: Site, cookie: str) -> None:
    browser = logged_in(site, "hedy")
    thief = site("thief")
    thief.cookies[cookie] = browser.get("/").json["sessions"][0]["handle"]
    assert thief.get("/").status == 401


def test_a_user_logs_out_everywhere(site: Site) -> None:
    phone, laptop = logged_in(site, "joan", "phone"), logged_in(site, "joan", "laptop")
    assert laptop.post("/logout-everywhere").text == "2 sessions ended\n"
    assert (phone.get("/").status, laptop.get("/").status) == (401, 401)


def mailed_link(site: Site, browser: Browser) -> str:
    """Ask for a link, and find it in the mail: the answer is the same for an unknown user, who gets none."""
    answers = {browser.post("/forgot", user=user).text for user in ("mary", "<b>unknown</b>")}
    assert answers == {"look into your mail\n"}
    [(user, link)] = [line.split() for line in (site.log.parent / "outbox").read_text().splitlines()]
    assert user == "mary"
    return link


def test_a_link_sets_a_new_password_once_and_ends_the_sessions_that_knew_the_old_one(site: Site, cookie: str) -> None:
    phone, laptop = logged_in(site, "mary", "phone"), site("laptop")
    link = mailed_link(site, laptop)
    laptop.cookies[cookie] = link
    assert laptop.get("/").status == 401  # a link is no session
    assert laptop.post(f"/reset/{phone.cookies[cookie]}", password="stolen").status == 404  # a session is no link
    assert laptop.post(f"/reset/{link}", password=SECOND).status == 200
    assert phone.get("/").status == 401
    assert laptop.post(f"/reset/{link}", password="third").status == 404
    assert laptop.post("/login", user="mary", password=FIRST).status == 403
    assert logged_in(site, "mary", password=SECOND).get("/").json["user"] == "mary"


def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(site: Site) -> None:
    logged_in(site, "radia")
    browser = site("laptop")
    answers = [browser.post("/login", user=user, password="wrong") for user in ("radia", "nobody")]
    assert [answer.status for answer in answers] == [403, 403]
    assert answers[0].text == answers[1].text


def test_what_another_site_sends_is_refused(site: Site) -> None:
    browser = logged_in(site, "lynn")
    assert browser.post("/logout", origin="https://elsewhere.example").status == 403
    assert browser.get("/").status == 200
