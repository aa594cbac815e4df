"""Sessions in Django's admin: what operators see and end, by their permissions, and what no page has."""

import logging
from collections.abc import Iterator
from html import unescape
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client, override_settings

import crudjt
from crudjt.contrib.django.signals import session_ended
from crudjt.testing import FakeClock
from tests.support.django_project import urlpatterns

assert urlpatterns

LIST = "/admin/crudjt/session/"
CLIENT = crudjt.Client("192.0.2.1", "Firefox")
SECRET = "what the data holds"


@pytest.fixture
def users(in_use: crudjt.Store) -> Iterator[dict[str, User]]:
    """Make an operator, one who may only look, one of the staff who may do neither, and two users."""
    made = {name: User.objects.create_user(name, is_staff=name in ("looker", "clerk")) for name in NAMES}
    made["chief"] = User.objects.create_superuser("chief")
    may_look = Permission.objects.get(codename="view_session", content_type__app_label="crudjt")
    made["looker"].user_permissions.add(may_look)
    yield made
    LogEntry.objects.all().delete()
    User.objects.all().delete()


NAMES = ("looker", "clerk", "ada", "<b>bob</b>")


def browser(user: User) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def sessions_of(store: crudjt.Store, user: User) -> list[str]:
    return [each.id for each in store.sessions(str(user.pk))]


def text(client: Client, address: str, status: int = 200, **query: Any) -> str:
    response = client.get(address, query)
    assert response.status_code == status
    return unescape(response.content.decode())


def post(client: Client, address: str, **form: str) -> int:
    """Send the form of a page, with its CSRF token."""
    client.get(address, form)
    return client.post(address, form | {"csrfmiddlewaretoken": client.cookies["csrftoken"].value}).status_code


def test_the_sessions_are_listed_newest_first_with_their_users_and_pages(
    users: dict[str, User], in_use: crudjt.Store, clock: FakeClock
) -> None:
    tokens = []
    for number in range(60):
        clock.advance(1)
        tokens.append(in_use.create({SECRET: number}, subject=str(users["ada"].pk), idle=60 * 60))
    clock.advance(1)
    for subject in ("a machine", "9" * 30, None):
        in_use.create({SECRET: 1}, subject=subject)
    chief = browser(users["chief"])
    first = text(chief, LIST)
    ids = [each.id for each in in_use.list(limit=100)]
    assert [each for each in ids if each in first] == ids[:50]
    assert first.index(ids[0]) < first.index(ids[1]) < first.index(ids[49])
    assert "(this one)" in first
    assert "a machine" in first
    second = text(chief, LIST, after=in_use.list(limit=50).next)
    assert [each for each in ids if each in second] == ids[50:]
    assert not any(token in first + second for token in tokens)
    assert SECRET not in first + second


def test_the_sessions_of_a_user_are_found_by_name_and_by_primary_key(
    users: dict[str, User], in_use: crudjt.Store
) -> None:
    in_use.create({}, subject="of a user who is gone")
    browser(users["<b>bob</b>"])
    ada, chief = browser(users["ada"]), browser(users["chief"])
    assert ada.cookies
    [handle] = sessions_of(in_use, users["ada"])
    queries: list[dict[str, Any]] = [{"q": "ada"}, {"q": users["ada"].pk}, {"subject": users["ada"].pk}]
    for query in queries:
        found = text(chief, LIST, **query)
        assert handle in found
        assert not any(other in found for other in sessions_of(in_use, users["<b>bob</b>"]))
    assert "of a user who is gone" in text(chief, LIST, q="of a user who is gone")
    assert "This user has no session." in text(chief, LIST, q="clerk")
    assert "&lt;b&gt;bob" in chief.get(LIST).content.decode()
    text(chief, LIST, 404, after="nonsense")


def test_a_session_is_shown_without_token_and_data_and_ended(
    users: dict[str, User], in_use: crudjt.Store, caplog: pytest.LogCaptureFixture
) -> None:
    token = in_use.create({SECRET: SECRET}, subject=str(users["ada"].pk), ttl=60, client=CLIENT)
    [handle] = sessions_of(in_use, users["ada"])
    chief = browser(users["chief"])
    page = text(chief, f"{LIST}{handle}/change/")
    assert "ada" in page
    assert "Firefox, 192.0.2.1" in page
    assert token not in page
    assert SECRET not in page
    assert "End this session?" in text(chief, f"{LIST}{handle}/delete/")
    assert chief.post(f"{LIST}{handle}/delete/").status_code == 403  # without the CSRF token
    assert in_use.peek(token) is not None
    with caplog.at_level(logging.INFO, "crudjt.audit"):
        assert post(chief, f"{LIST}{handle}/delete/") == 302
    assert in_use.peek(token) is None
    assert "The session has ended." in text(chief, LIST)
    text(chief, f"{LIST}{handle}/change/", 404)
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id, entry.object_repr) == (users["chief"], handle, "ada")
    assert "deletelink" in text(chief, "/admin/")
    [record] = [each for each in caplog.records if each.name == "crudjt.audit"]
    assert (vars(record)["audit"]["operator"], vars(record)["audit"]["handle"]) == ("chief", handle)


def test_all_sessions_of_a_user_are_ended(users: dict[str, User], in_use: crudjt.Store) -> None:
    for _ in range(3):
        browser(users["<b>bob</b>"])
    ada, chief, subject = browser(users["ada"]), browser(users["chief"]), str(users["<b>bob</b>"].pk)
    assert "<b>bob</b> has 3 sessions" in text(chief, f"{LIST}end-all/", subject=subject)
    assert post(chief, f"{LIST}end-all/", subject=subject) == 302
    assert sessions_of(in_use, users["<b>bob</b>"]) == []
    assert sessions_of(in_use, users["ada"]) != []
    assert ada.cookies


def test_receivers_of_the_signal_are_told_of_what_operators_end(users: dict[str, User], in_use: crudjt.Store) -> None:
    told: list[tuple[str, str | None, str]] = []

    def hear(session_id: str, subject: str | None, why: str, **_: object) -> None:
        told.append((session_id, subject, why))

    ada, chief, subject = browser(users["ada"]), browser(users["chief"]), str(users["ada"].pk)
    assert ada.cookies
    token = in_use.create({})
    session = in_use.peek(token)
    assert session is not None
    [own], visitor = sessions_of(in_use, users["ada"]), session.id
    session_ended.connect(hear)
    try:
        post(chief, f"{LIST}{visitor}/delete/")
        post(chief, f"{LIST}end-all/", subject=subject)
    finally:
        session_ended.disconnect(hear)
    assert in_use.peek(token) is None
    assert [each[:2] for each in told] == [(visitor, None), (own, subject)]


def test_who_may_look_may_not_end_and_who_may_not_look_sees_nothing(
    users: dict[str, User], in_use: crudjt.Store
) -> None:
    browser(users["ada"])
    [handle] = sessions_of(in_use, users["ada"])
    looker, clerk, subject = browser(users["looker"]), browser(users["clerk"]), str(users["ada"].pk)
    assert "End" not in text(looker, f"{LIST}{handle}/change/").partition('id="content"')[2].replace("Ends", "")
    assert "End all" not in text(looker, LIST, q="ada")
    assert "End all" in text(browser(users["chief"]), LIST, q="ada")
    for address in (f"{LIST}{handle}/delete/", f"{LIST}end-all/"):
        text(looker, address, 403, subject=subject)
        assert looker.post(address, {"subject": subject}).status_code == 403
    for address in (LIST, f"{LIST}{handle}/change/", f"{LIST}{handle}/delete/"):
        text(clerk, address, 403)
        assert Client().get(address).status_code == 302  # to the login
        assert browser(users["ada"]).get(address).status_code == 302
    assert LIST not in text(clerk, "/admin/")
    assert LIST in text(looker, "/admin/")
    assert sessions_of(in_use, users["ada"]) != []


def test_there_is_no_page_to_add_a_session(users: dict[str, User]) -> None:
    text(browser(users["chief"]), f"{LIST}add/", 404)


def test_the_model_without_a_table_disturbs_no_command(in_use: crudjt.Store, secret_key: str) -> None:
    with override_settings(CRUDJT_SECRET_KEY=secret_key):
        for command in (["makemigrations", "--check", "--dry-run"], ["check"], ["dumpdata"], ["dumpdata", "--all"]):
            call_command(*command, stdout=StringIO())
