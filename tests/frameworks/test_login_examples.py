"""The login applications among the examples, each in two worker processes, through real HTTP."""

from collections.abc import Iterator

import pytest

from tests.support.login_sites import COOKIES, FIRST, Site, served, sessions_on, user_on, worker_on
from tests.support.web import WORKERS, Browser

SECOND = "battery staple"
AWAY = {302, 303}
# The others are as these, and run with -m long only.
USUAL = {"flask", "django", "starlette"}
SITES = [pytest.param(each, marks=pytest.mark.slow if each in USUAL else pytest.mark.long) for each in COOKIES]


@pytest.fixture(scope="module", params=SITES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, secret_key: str) -> Iterator[Site]:
    """The application of each framework."""
    with served(request.param, tmp_path_factory.mktemp("site"), secret_key) as site:
        yield site


@pytest.fixture
def cookie(site: Site) -> str:
    """The name of the cookie that holds the session."""
    return COOKIES[site.framework]


def test_who_logs_out_in_one_worker_is_logged_out_in_the_other_at_the_next_request(site: Site, cookie: str) -> None:
    browser = site.logged_in("ada")
    workers: set[str] = set()

    def who_answers() -> set[str]:
        workers.add(worker_on(browser.get("/").text))
        return workers

    answers = browser.get_from_every_worker("/", who_answers)
    assert {answer.status for answer in answers} == {200}
    assert len(workers) == WORKERS
    token = browser.cookies[cookie]
    browser.post("/logout")
    assert cookie not in browser.cookies
    browser.cookies[cookie] = token
    assert {browser.get("/").status for _ in range(20)} <= AWAY


def test_the_cookie_is_for_tls_only_and_hidden_from_scripts(site: Site, cookie: str) -> None:
    attributes = site.logged_in("grace").attributes[cookie]
    assert attributes["secure"]
    assert attributes["httponly"]
    assert attributes["samesite"].lower() in ("lax", "strict")
    assert attributes["path"] == "/"


def test_a_planted_cookie_is_another_after_the_login(site: Site, cookie: str) -> None:
    for planted in ("A" * 22, site.logged_in("mallory").cookies[cookie]):
        victim = site("laptop")
        victim.cookies[cookie] = planted
        victim.post("/register", user="barbara", password=FIRST)
        victim.post("/login", user="barbara", password=FIRST)
        assert victim.cookies[cookie] != planted
        assert user_on(victim.get("/").text) == "barbara"
        attacker = site("attacker")
        attacker.cookies[cookie] = planted
        assert attacker.get("/").status in AWAY


def test_who_logs_in_again_gets_another_token(site: Site, cookie: str) -> None:
    browser = site.logged_in("frances")
    token = browser.cookies[cookie]
    browser.post("/login", user="frances", password=FIRST)
    assert browser.cookies[cookie] != token
    assert len(sessions_on(browser.get("/").text)) == 1


def test_a_user_sees_own_sessions_on_other_devices_and_ends_them(site: Site) -> None:
    phone, laptop = site.logged_in("katherine", "phone"), site.logged_in("katherine", "laptop")
    sessions = sessions_on(laptop.get("/").text)
    assert {each["device"]: each["here"] for each in sessions} == {"phone": False, "laptop": True}
    handle = next(each["handle"] for each in sessions if each["device"] == "phone")
    stranger = site.logged_in("eve")
    assert stranger.post(f"/sessions/{handle}/end").status == 404
    assert phone.get("/").status == 200
    assert laptop.post(f"/sessions/{handle}/end").status in AWAY
    assert phone.get("/").status in AWAY
    assert laptop.get("/").status == 200


def test_a_handle_is_no_cookie(site: Site, cookie: str) -> None:
    browser = site.logged_in("hedy")
    thief = site("thief")
    thief.cookies[cookie] = sessions_on(browser.get("/").text)[0]["handle"]
    assert thief.get("/").status in AWAY


def test_a_user_logs_out_everywhere(site: Site) -> None:
    phone, laptop = site.logged_in("joan", "phone"), site.logged_in("joan", "laptop")
    assert "Sessions ended: 2." in laptop.post("/logout-everywhere").text
    assert {phone.get("/").status, laptop.get("/").status} <= AWAY


def mailed_link(site: Site, browser: Browser) -> str:
    """Ask for a link, and find it in the mail: the answer is the same for an unknown user, who gets none."""
    for user in ("mary", "<b>unknown</b>"):
        assert "Look into your mail" in browser.post("/forgot", user=user).text
    [(user, link)] = [line.split() for line in site.outbox.read_text().splitlines()]
    assert user == "mary"
    return link


def test_a_link_sets_a_new_password_once_and_ends_the_sessions_that_knew_the_old_one(site: Site, cookie: str) -> None:
    phone, laptop = site.logged_in("mary", "phone"), site("laptop")
    link = mailed_link(site, laptop)
    laptop.cookies[cookie] = link
    assert laptop.get("/").status in AWAY  # a link is no session
    assert laptop.post(f"/reset/{phone.cookies[cookie]}", password="stolen").status == 404  # a session is no link
    assert laptop.get(f"/reset/{link}").status == 200  # as a program does that looks at all links in a mail
    assert laptop.post(f"/reset/{link}", password=SECOND).status == 200
    assert phone.get("/").status in AWAY
    assert laptop.get(f"/reset/{link}").status == 404
    assert laptop.post(f"/reset/{link}", password="third").status == 404
    assert laptop.post("/login", user="mary", password=FIRST).status == 403
    assert user_on(site.logged_in("mary", password=SECOND).get("/").text) == "mary"


def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(site: Site) -> None:
    site.logged_in("radia")
    browser = site("laptop")
    answers = [browser.post("/login", user=user, password="wrong") for user in ("radia", "unknown")]
    assert [answer.status for answer in answers] == [403, 403]
    assert ["The name or the password is wrong." in answer.text for answer in answers] == [True, True]


def test_what_another_site_sends_is_refused(site: Site) -> None:
    browser = site.logged_in("lynn")
    assert browser.post("/logout", origin="https://elsewhere.example").status == 403
    assert browser.get("/").status == 200


def test_without_a_session_nothing_can_be_ended(site: Site) -> None:
    for path in ("/logout-everywhere", "/sessions/x/end"):
        assert site().post(path).status in {401, 302}
