"""The interface for programs of the login application for FastAPI, in two worker processes, through real HTTP."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support import login_sites
from tests.support.processes import PATIENCE, eventually
from tests.support.web import WORKERS, Answer

pytestmark = pytest.mark.slow

FIRST, SECOND = "correct horse", "battery staple"
TOGETHER = 8  # requests at once, so that no worker can take them all


class Device:
    """Keeps a bearer token."""

    def __init__(self, port: int, name: str) -> None:
        self._port = port
        self._name = name
        self.token = ""

    def get(self) -> Answer:
        return self._ask("GET", "/")

    def post(self, path: str, **body: str) -> Answer:
        return self._ask("POST", path, body)

    def login(self, user: str, password: str = FIRST) -> Answer:
        answer = self.post("/login", user=user, password=password)
        if answer.status == 200:
            self.token = answer.json["token"]
        return answer

    def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        headers = {"User-Agent": self._name, "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request(method, f"/api{path}", None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            assert response.headers.get("Set-Cookie") is None
            return Answer(response.status, response.read().decode())
        finally:
            connection.close()


class Site(NamedTuple):
    """The application that is being served."""

    port: int
    outbox: Path

    def __call__(self, name: str = "laptop") -> Device:
        return Device(self.port, name)

    def logged_in(self, user: str, name: str = "laptop", password: str = FIRST) -> Device:
        device = self(name)
        device.post("/register", user=user, password=FIRST)
        assert device.login(user, password).status == 200
        return device


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, secret_key: str) -> Iterator[Site]:
    with login_sites.served("fastapi", tmp_path_factory.mktemp("site"), secret_key) as site:
        yield Site(site.port, site.outbox)


def test_who_logs_out_in_one_worker_is_logged_out_in_the_other_at_the_next_request(site: Site) -> None:
    device = site.logged_in("ada")
    token = device.token
    workers: set[int] = set()

    def all_have_answered() -> bool:
        with ThreadPoolExecutor(TOGETHER) as pool:
            answers = list(pool.map(lambda _: device.get(), range(TOGETHER)))
        assert {answer.status for answer in answers} == {200}
        workers.update(answer.json["worker"] for answer in answers)
        return len(workers) == WORKERS

    assert eventually(all_have_answered, PATIENCE)
    assert device.post("/logout").status == 200
    device.token = token
    with ThreadPoolExecutor(TOGETHER) as pool:
        assert set(pool.map(lambda _: device.get().status, range(5 * TOGETHER))) == {401}


def test_a_user_sees_own_sessions_on_other_devices_and_ends_them(site: Site) -> None:
    phone, laptop = site.logged_in("katherine", "phone"), site.logged_in("katherine", "laptop")
    sessions = laptop.get().json["sessions"]
    assert {each["device"]: each["here"] for each in sessions} == {"phone": False, "laptop": True}
    handle = next(each["handle"] for each in sessions if each["device"] == "phone")
    assert site.logged_in("eve").post(f"/sessions/{handle}/end").status == 404
    assert phone.get().status == 200
    assert laptop.post(f"/sessions/{handle}/end").status == 200
    assert (phone.get().status, laptop.get().status) == (401, 200)


def test_a_handle_is_no_token(site: Site) -> None:
    thief = site("thief")
    thief.token = site.logged_in("hedy").get().json["sessions"][0]["handle"]
    assert thief.get().status == 401


def test_a_user_logs_out_everywhere(site: Site) -> None:
    phone, laptop = site.logged_in("joan", "phone"), site.logged_in("joan", "laptop")
    assert "2 sessions ended" in laptop.post("/logout-everywhere").text
    assert (phone.get().status, laptop.get().status) == (401, 401)


def mailed_link(site: Site, device: Device) -> str:
    """Ask for a link, and find it in the mail: the answer is the same for an unknown user, who gets none."""
    answers = {device.post("/forgot", user=user).text for user in ("mary", "<b>unknown</b>")}
    assert len(answers) == 1
    assert "look into your mail" in answers.pop()
    [(user, link)] = [line.split() for line in site.outbox.read_text().splitlines()]
    assert user == "mary"
    return link


def test_a_link_sets_a_new_password_once_and_ends_the_sessions_that_knew_the_old_one(site: Site) -> None:
    phone, laptop = site.logged_in("mary", "phone"), site("laptop")
    link = mailed_link(site, laptop)
    laptop.token = link
    assert laptop.get().status == 401  # a link is no session
    laptop.token = ""
    assert laptop.post(f"/reset/{phone.token}", password="stolen").status == 404  # a session is no link
    assert laptop.post(f"/reset/{link}", password=SECOND).status == 200
    assert phone.get().status == 401
    assert laptop.post(f"/reset/{link}", password="third").status == 404
    assert laptop.login("mary").status == 403
    assert site.logged_in("mary", password=SECOND).get().json["user"] == "mary"


def test_a_planted_token_is_another_after_the_login(site: Site) -> None:
    for planted in ("A" * 22, site.logged_in("mallory").token):
        victim, attacker = site(), site("attacker")
        victim.token = attacker.token = planted
        victim.post("/register", user="barbara", password=FIRST)
        victim.login("barbara")
        assert victim.token != planted
        assert victim.get().json["user"] == "barbara"
        assert attacker.get().status == 401 or attacker.get().json["user"] == "mallory"


def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(site: Site) -> None:
    site.logged_in("radia")
    answers = [site().login(user, "wrong") for user in ("radia", "nobody")]
    assert [answer.status for answer in answers] == [403, 403]
    assert answers[0].text == answers[1].text


def test_without_a_session_the_door_is_shut(site: Site) -> None:
    for path in ("/logout-everywhere", "/sessions/x/end"):
        assert site().post(path).status == 401
    assert site().get().status == 401
