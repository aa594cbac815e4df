"""The page "your sessions" of a Django project."""

import re
from collections.abc import Iterator
from types import ModuleType

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, override_settings
from django.urls import include, path

import crudjt
from tests.support.django_project import PASSWORD, urlpatterns

PAGE = "/account/sessions/"
FIREFOX = "Firefox <b>on Linux</b>"

urls = ModuleType("urls")
urls.__dict__["urlpatterns"] = [*urlpatterns, path("account/sessions/", include("crudjt.contrib.django.urls"))]


@pytest.fixture
def project(in_use: crudjt.Store) -> Iterator[crudjt.Store]:
    """A project with the page, and two users."""
    users = get_user_model()._default_manager
    for name in ("grace", "mary"):
        users.create_user(username=name, password=PASSWORD)
    with override_settings(ROOT_URLCONF=urls, CRUDJT_RECORD_CLIENT=True, LOGIN_URL="/login"):
        yield in_use
    users.filter(username__in=["grace", "mary"]).delete()


def browser(user: str, agent: str = FIREFOX) -> Client:
    client = Client(headers={"user-agent": agent}, enforce_csrf_checks=True)
    assert client.get("/login", {"user": user}).status_code == 200
    return client


def press(client: Client, action: str) -> int:
    """Press a button of the page, as its form has it; return the status."""
    page = client.get(PAGE).content.decode()
    found = re.search(rf'action="{PAGE}{action}">.*?name="csrfmiddlewaretoken" value="(\w+)"', page)
    token = found[1] if found else client.cookies["csrftoken"].value
    address = found[0].split('"')[1] if found else f"{PAGE}{action}"
    return client.post(address, {"csrfmiddlewaretoken": token}).status_code


def handle_of(client: Client, store: crudjt.Store) -> str:
    session = store.peek(client.cookies["sessionid"].value)
    assert session is not None
    return session.id


def test_a_user_sees_own_devices_and_ends_them_but_none_of_another(project: crudjt.Store) -> None:
    here, phone, tablet, other = (browser(user) for user in ("grace", "grace", "grace", "mary"))
    page = here.get(PAGE)
    text = page.content.decode()
    assert text.count("Firefox &lt;b&gt;on Linux") == 3
    assert text.count("(this device)") == 1
    assert text.index("(this device)") < text.index(handle_of(phone, project))
    assert "127.0.0.1" in text
    assert "no-store" in page.headers["Cache-Control"]
    assert press(here, f"{handle_of(phone, project)}/end/") == 302
    assert press(here, f"{handle_of(other, project)}/end/") == 404
    assert [client.get(PAGE).status_code for client in (here, phone, tablet, other)] == [200, 302, 200, 200]
    assert press(here, "end-others/") == 302
    assert [client.get(PAGE).status_code for client in (here, tablet, other)] == [200, 302, 200]
    assert press(here, f"{handle_of(here, project)}/end/") == 302
    assert "sessionid" not in here.cookies or not here.cookies["sessionid"].value


def test_the_page_ends_nothing_without_its_csrf_token_or_by_a_link(project: crudjt.Store) -> None:
    here = browser("grace")
    for address in (f"{PAGE}{handle_of(here, project)}/end/", f"{PAGE}end-others/"):
        assert here.post(address).status_code == 403
        assert here.get(address).status_code == 405
    assert here.get(PAGE).status_code == 200
    assert Client().get(PAGE).headers["Location"].startswith("/login?next=")
