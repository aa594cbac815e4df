"""A Django project whose sessions lie in the store: log in, log out, be logged out; its checks and its command."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import django
import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, login
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.core.checks import CheckMessage, run_checks
from django.core.management import CommandError, call_command
from django.http import HttpRequest
from django.test import Client, override_settings

import _crudjt_pytest
import crudjt
from crudjt._backends import valkey
from crudjt.contrib.django import SessionStore, _store, end_session, get_store, revoke_user, session_of, sessions_of
from crudjt.testing import FakeClock
from tests.support.django_project import PASSWORD
from tests.support.processes import ForkBelowPython, held_by_another_thread

COOKIE = "sessionid"
UNKNOWN = "A" * 22
ASYNC = pytest.mark.skipif(django.VERSION < (5, 1), reason="the session framework has async methods from Django 5.1")


@pytest.fixture
def ada(in_use: crudjt.Store) -> Iterator[User]:
    user = User.objects.create_user("ada", password=PASSWORD)
    yield user
    User.objects.all().delete()


def browser(user: str = "ada", cookie: str | None = None) -> Client:
    """Return a browser in which a user has logged in."""
    client = Client()
    if cookie is not None:
        client.cookies[COOKIE] = cookie
    assert client.get("/login", {"user": user}).status_code == 200
    return client


def key_of(client: Client) -> str:
    return client.cookies[COOKIE].value


def user_seen(client: Client) -> str:
    return client.get("/show").content.decode()


def test_who_has_logged_in_is_known_until_the_logout(ada: User) -> None:
    client = browser()
    key = key_of(client)
    assert user_seen(client) == "ada"
    client.get("/logout")
    client.cookies[COOKIE] = key
    assert user_seen(client) == ""


def test_a_cookie_that_was_planted_is_not_the_session_after_the_login(ada: User) -> None:
    attacker = Client()
    attacker.get("/keep", {"value": "1"})
    for planted in (UNKNOWN, key_of(attacker)):
        victim = browser(cookie=planted)
        assert key_of(victim) != planted
        attacker.cookies[COOKIE] = planted
        assert user_seen(attacker) == ""


def test_the_login_keeps_what_was_in_the_session_and_nothing_of_the_old_key_lives(ada: User) -> None:
    client = Client()
    client.get("/keep", {"value": "1"})
    client.get("/login", {"user": "ada"})
    assert SessionStore(key_of(client))["value"] == "1"
    assert get_store().stats().sessions == 1


def test_another_user_in_the_same_browser_gets_nothing_of_the_first(ada: User) -> None:
    User.objects.create_user("grace", password=PASSWORD)
    client = browser()
    client.get("/keep", {"value": "of ada"})
    client.get("/login", {"user": "grace"})
    assert "value" not in SessionStore(key_of(client))
    assert list(sessions_of(ada)) == []


def test_a_request_whose_session_ended_meanwhile_is_refused(ada: User) -> None:
    client = browser()
    assert client.get("/fails").status_code == 400
    assert list(sessions_of(ada)) == []


def test_a_page_that_changes_nothing_writes_nothing(ada: User, in_use: crudjt.Store) -> None:
    client = browser()
    before = in_use.stats().log_bytes
    response = client.get("/show")
    assert COOKIE not in response.cookies
    assert response["Vary"] == "Cookie"
    assert in_use.stats().log_bytes == before


@ASYNC
def test_async_views_have_their_sessions(in_use: crudjt.Store) -> None:
    client = Client()
    assert [client.get("/count").content for _ in range(2)] == [b"1", b"2"]


def test_a_store_that_fails_is_no_logout(ada: User, in_use: crudjt.Store) -> None:
    client = browser()
    in_use.close()
    with pytest.raises(crudjt.StoreClosed):
        client.get("/show")


def test_a_user_is_logged_out_everywhere_in_one_call(ada: User) -> None:
    here, there = browser(), browser()
    assert len(list(sessions_of(ada))) == 2
    assert here.get("/elsewhere").content == b"1"
    assert (user_seen(here), user_seen(there)) == ("ada", "")
    assert revoke_user(ada.pk) == 1
    assert user_seen(here) == ""


def test_a_user_ends_own_sessions_by_their_handles_and_no_others(ada: User) -> None:
    grace = User.objects.create_user("grace", password=PASSWORD)
    client = browser()
    handle = SessionStore(key_of(client)).id
    assert handle is not None
    assert handle == sessions_of(ada)[0].id
    assert not end_session(grace, handle)
    assert not end_session(ada, "0" * 32)
    assert not end_session(ada, "no handle")
    assert user_seen(client) == "ada"
    assert end_session(ada, handle)
    assert user_seen(client) == ""
    assert SessionStore(key_of(client)).id is None
    assert SessionStore().id is None


def test_to_keep_the_current_session_needs_a_request(ada: User) -> None:
    with pytest.raises(RuntimeError, match="no request is being served"):
        revoke_user(ada, keep_current=True)


def test_the_key_is_final_when_login_returns_and_when_its_signal_is_sent(ada: User) -> None:
    seen: list[str | None] = []

    def note(request: Any, **_: Any) -> None:
        seen.append(request.session.session_key)

    user_logged_in.connect(note)
    try:
        client = browser()
        first = key_of(client)
        client.get("/login", {"user": "ada"})
    finally:
        user_logged_in.disconnect(note)
    assert seen == [first, key_of(client)]
    assert first != key_of(client)


@pytest.fixture
def writes(in_use: crudjt.Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the calls that change the store."""
    made: list[str] = []

    def note(name: str) -> None:
        method = getattr(in_use, name)

        def noted(*arguments: Any, **keywords: Any) -> Any:
            made.append(name)
            return method(*arguments, **keywords)

        monkeypatch.setattr(in_use, name, noted, raising=False)

    for name in ("create", "update", "touch", "rotate", "delete"):
        note(name)
    return made


@pytest.mark.parametrize("view", ["login", pytest.param("alogin", marks=ASYNC)])
def test_a_login_is_one_transaction(ada: User, writes: list[str], view: str) -> None:
    """New key, owner and data together, the hash of the password among it; nothing is left to write at the end."""
    client = Client()
    assert client.get(f"/{view}", {"user": "ada"}).status_code == 200
    assert writes == ["create"]
    other = Client()
    other.get("/keep", {"value": "1"})
    writes.clear()
    assert other.get(f"/{view}", {"user": "ada"}).status_code == 200
    assert writes == ["rotate"]
    writes.clear()
    assert other.get(f"/{view}", {"user": "ada"}).status_code == 200  # once more
    assert writes == ["rotate"]
    assert [user_seen(each) for each in (client, other)] == ["ada", "ada"]
    data = SessionStore(key_of(other)).load()
    assert data["value"] == "1"
    assert {SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY} < data.keys()


def test_a_login_that_cannot_be_stored_leaves_the_session_as_it_was(ada: User, in_use: crudjt.Store) -> None:
    client = Client()
    client.get("/keep", {"value": "1"})
    key = key_of(client)
    request = HttpRequest()
    request.session = SessionStore(key)
    request.session["value"] = object()
    with pytest.raises(crudjt.InvalidParameter):
        login(request, ada)
    assert request.session.keys() == {"value"}
    assert request.session.session_key == key
    assert SessionStore(key)["value"] == "1"


def test_the_session_of_a_request_has_its_own_type() -> None:
    request = HttpRequest()
    request.session = SessionStore()
    assert session_of(request).id is None


# The settings


@pytest.fixture
def configured(path: Path, secret_key: str) -> Iterator[None]:
    """The settings describe a store, and Django opens it itself."""
    with override_settings(CRUDJT_LOCATION=path, CRUDJT_SECRET_KEY=secret_key):
        yield


def test_the_settings_describe_the_store(configured: None, path: Path) -> None:
    with override_settings(CRUDJT_MAX_DATA_BYTES=100):
        session = SessionStore()
        session["name"] = "x" * 200
        with pytest.raises(crudjt.DataTooLarge, match="CRUDJT_MAX_DATA_BYTES"):
            session.save()
    session.save()
    assert get_store() is get_store()
    assert (path / "manifest").exists()


def test_without_settings_the_environment_describes_the_store(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRUDJT_PATH", str(path))
    monkeypatch.setenv("CRUDJT_SECRET_KEY", secret_key)
    monkeypatch.setattr(_crudjt_pytest, "running", [])
    get_store().close()
    monkeypatch.setattr(_store, "_open", [])
    SessionStore().save()
    assert (path / "manifest").exists()
    get_store().close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent_that_opens_the_store(configured: None) -> None:
    def work() -> bool:
        get_store().close()
        return True

    with held_by_another_thread(_store._opening):
        assert ForkBelowPython(work).wait().result


def found(*ids: str, deploy: bool = False) -> list[CheckMessage]:
    ours = [each for each in run_checks(include_deployment_checks=deploy) if str(each.id).startswith("crudjt.")]
    messages = [each for each in ours if each.id != "crudjt.I001"]
    assert [each.id for each in messages] == list(ids)
    return messages


def test_the_check_finds_nothing_wrong_with_good_settings(configured: None, path: Path) -> None:
    found()
    assert not path.exists()
    get_store()
    found()
    with override_settings(CRUDJT_LOCATION="grpc://127.0.0.1:1", CRUDJT_SECRET_KEY=None):
        found()


def test_the_check_says_that_there_is_no_store_yet_and_makes_none(configured: None, path: Path) -> None:
    path.mkdir()
    assert [each.id for each in run_checks()] == ["crudjt.I001"]
    assert list(path.iterdir()) == []


def test_the_check_finds_a_store_that_does_not_open(configured: None, path: Path) -> None:
    path.write_text("a file")
    [message] = found("crudjt.W003")
    assert "is a file, or lies in one" in message.msg
    path.unlink()
    path.mkdir()
    (path / "notes.txt").touch()
    found("crudjt.W003")
    assert [each.name for each in path.iterdir()] == ["notes.txt"]


def test_the_check_of_a_deployment_asks_the_server(in_use: crudjt.Store) -> None:
    with override_settings(CRUDJT_LOCATION="grpc://127.0.0.1:1", CRUDJT_SECRET_KEY=None):
        found("crudjt.W003", deploy=True)


def test_the_check_of_a_deployment_makes_no_store_on_servers(
    in_use: crudjt.Store, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def refuse(settings: Any) -> crudjt.Store:
        asked.append(settings.create)
        raise crudjt.StoreInaccessible("valkey://localhost", "there is no store here")

    monkeypatch.setattr(valkey, "open_store", refuse)
    with override_settings(CRUDJT_LOCATION="valkey://localhost", CRUDJT_SECRET_KEY=secret_key):
        found("crudjt.W003", deploy=True)
    assert asked == [False]


def test_the_check_finds_a_missing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRUDJT_SECRET_KEY", raising=False)
    [message] = found("crudjt.E001")
    assert "no secret key" in message.msg
    assert "crudjt keygen" in str(message.hint)


@pytest.mark.parametrize(
    ("name", "value", "id_"),
    [
        ("CRUDJT_SECRET_KEY", "c2hvcnQ=", "crudjt.E001"),
        ("CRUDJT_DURABILITY", "high", "crudjt.E001"),
        ("CRUDJT_IDLE_TIMEOUT", "1h", "crudjt.E002"),
        ("CRUDJT_ABSOLUTE_TIMEOUT", 0, "crudjt.E002"),
        ("CRUDJT_MAX_SESSIONS", "3", "crudjt.E003"),
        ("CRUDJT_RECORD_CLIENT", "yes", "crudjt.E004"),
        ("CRUDJT_LOCATOIN", "sessions", "crudjt.W001"),
        ("SESSION_ENGINE", "django.contrib.sessions.backends.signed_cookies", "crudjt.W002"),
    ],
)
def test_the_check_finds_what_is_wrong(configured: None, name: str, value: Any, id_: str) -> None:
    with override_settings(**{name: value}):
        [message] = found(id_)
    assert "c2hvcnQ=" not in f"{message.msg} {message.hint}"


def test_the_check_corrects_a_misspelt_setting(configured: None) -> None:
    with override_settings(CRUDJT_LOCATOIN="sessions"):
        [message] = found("crudjt.W001")
    assert message.msg == "There is no setting CRUDJT_LOCATOIN; did you mean CRUDJT_LOCATION?"


def test_the_check_finds_a_secret_key_beside_the_location_of_a_server(configured: None, secret_key: str) -> None:
    with override_settings(CRUDJT_LOCATION="grpc://localhost:50051", CRUDJT_SECRET_KEY=secret_key):
        [message] = found("crudjt.E001")
    assert message.msg.startswith("secret_key is not for a location with grpc:")


# The command


def output(*arguments: str) -> str:
    out = StringIO()
    call_command("crudjt_sessions", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_shows_the_counters_of_the_store(ada: User) -> None:
    browser()
    assert "sessions: 1\n" in output("stats")


def test_the_command_and_clearsessions_remove_expired_sessions(
    ada: User, in_use: crudjt.Store, clock: FakeClock
) -> None:
    browser()
    clock.advance(1_209_600)
    assert output("sweep") == "1 removed\n"


def test_the_command_lists_a_users_sessions_by_their_handles(ada: User) -> None:
    client = browser()
    listed = output("list", "ada")
    assert listed.startswith(f"{SessionStore(key_of(client)).id}  since 2")
    assert key_of(client) not in listed


def test_the_command_logs_a_user_out_by_name_or_by_id_even_when_the_user_is_gone(ada: User) -> None:
    client, id_ = browser(), str(ada.pk)
    assert output("revoke", "ada") == "1 ended\n"
    assert user_seen(client) == ""
    browser()
    ada.delete()
    with pytest.raises(CommandError, match="no user of that name"):
        output("revoke", "ada")
    assert output("revoke", "--id", id_) == "1 ended\n"
