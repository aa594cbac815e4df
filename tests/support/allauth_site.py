"""A Django project with django-allauth, by the settings of docs/recipes.md: ``python -m tests.support.allauth_site``.

It serves some visits and prints what they gave, as JSON. It runs in the working directory, which must be empty.
"""

import json
import re
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path

from tests.support.documents import SITE, blocks, section

NEEDED: dict[str, list[str]] = {
    "INSTALLED_APPS": [
        *("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.messages"),
        *("allauth.usersessions", "django.contrib.humanize"),
    ],
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
}
PASSWORD = "correct horse battery staple"


def me(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


def configure() -> None:
    """Set Django up with the block of the page, whose ``...`` is what other projects have there."""
    (block,) = blocks(section("docs/recipes.md", "django-allauth").replace(SITE, "sessions"))
    named: dict[str, Any] = {}
    exec(block, named)
    for name, needed in NEEDED.items():
        named[name] = [*needed, *named[name][1:]]
    engine = {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
    processors = ["django.template.context_processors.request", "django.contrib.auth.context_processors.auth"]
    processors.append("django.contrib.messages.context_processors.messages")
    settings.configure(
        ALLOWED_HOSTS=["testserver"],
        SECRET_KEY="of the tests",
        USE_TZ=True,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        TEMPLATES=[{**engine, "OPTIONS": {"context_processors": processors}}],
        LOGIN_REDIRECT_URL="/me",
        ACCOUNT_EMAIL_VERIFICATION="none",
        **{name: value for name, value in named.items() if name.isupper()},
    )
    django.setup()
    settings.ROOT_URLCONF = (
        path("me", me),
        path("account/own-sessions/", include("crudjt.contrib.django.urls")),
        path("account/", include("allauth.urls")),
    )


def logged_in(agent: str, **fields: str) -> Client:
    """Return a browser that has logged in by the form of allauth."""
    client = Client(headers={"user-agent": agent})
    answer = client.post("/account/login/", {"login": "ada", "password": PASSWORD, **fields}, secure=True)
    assert answer.status_code == 302, answer.content
    return client


def main() -> dict[str, Any]:
    """Return what the visits gave, by name."""
    configure()
    call_command("migrate", verbosity=0)
    from allauth.usersessions.models import UserSession  # noqa: PLC0415 - needs settings
    from django.contrib.auth.models import User  # noqa: PLC0415

    from crudjt.contrib.django import get_store, revoke_user  # noqa: PLC0415

    def body(client: Client, address: str) -> str:
        return client.get(address, secure=True).content.decode()

    def pages(client: Client) -> list[str]:
        return sorted(set(re.findall("Phone|Laptop|Tablet", body(client, "/account/own-sessions/"))))

    ada = User.objects.create_user("ada", password=PASSWORD)
    given: dict[str, Any] = {}
    phone, laptop = logged_in("Phone", remember="on"), logged_in("Laptop")
    given["remembered for"] = phone.cookies["sessionid"]["max-age"]
    given["forgotten for"] = laptop.cookies["sessionid"]["max-age"]
    given["our page"] = pages(laptop)
    keys = set(UserSession.objects.values_list("session_key", flat=True))
    given["keys are tokens"] = keys == {each.cookies["sessionid"].value for each in (phone, laptop)}
    tablet = logged_in("Tablet")
    given["after a third login"] = [body(each, "/me") for each in (phone, laptop, tablet)]
    theirs = body(tablet, "/account/sessions/")
    given["their page"] = [agent for agent in ("Phone", "Laptop", "Tablet") if agent in theirs]
    assert tablet.post("/account/sessions/", secure=True).status_code == 302
    given["after they ended the others"] = [body(each, "/me") for each in (laptop, tablet)]
    given["ended by revoke_user"] = revoke_user(ada)
    given["after revoke_user"] = [body(tablet, "/me"), UserSession.objects.purge_and_list(ada)]
    get_store().close()
    return given


if __name__ == "__main__":
    print(json.dumps(main()))
