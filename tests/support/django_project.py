"""A Django project for the tests: settings, urls and views of one file."""

from typing import Any

import django
from django.conf import settings
from django.contrib import admin, auth
from django.contrib.auth import authenticate, login, logout
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, URLResolver, path

from crudjt.contrib.django import revoke_user

PASSWORD = "correct horse battery staple"


def show(request: HttpRequest) -> HttpResponse:
    """Say who is logged in, and read nothing else."""
    return HttpResponse(request.user.get_username())


def log_in(request: HttpRequest) -> HttpResponse:
    user = authenticate(request, username=request.GET["user"], password=PASSWORD)
    assert user is not None
    login(request, user)
    return HttpResponse()


async def log_in_async(request: HttpRequest) -> HttpResponse:
    """Log in with `alogin`, of Django 5.0 and later."""
    user = await auth.aauthenticate(request, username=request.GET["user"], password=PASSWORD)
    assert user is not None
    await auth.alogin(request, user)
    return HttpResponse()


def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


def keep(request: HttpRequest) -> HttpResponse:
    """Keep a value in the session."""
    request.session["value"] = request.GET["value"]
    return HttpResponse()


def fails(request: HttpRequest) -> HttpResponse:
    """End the session as another process would, and then change it."""
    request.session["value"] = "lost"
    request.session.delete()
    return HttpResponse()


async def count(request: HttpRequest) -> HttpResponse:
    """Count the requests of a session."""
    session: Any = request.session
    await session.aset("count", await session.aget("count", 0) + 1)
    return HttpResponse(str(await session.aget("count")))


def log_out_elsewhere(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(revoke_user(request.user, keep_current=True)))


jobs: dict[str, Any] = {}
"""What requests to ``/job`` do to their sessions: see `tests.support.session_sites`."""


def do_job(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Do what a test says."""
    job = jobs[request.headers["x-job"]]
    job.do(request.session)
    if job.late:
        return StreamingHttpResponse(job.parts(request.session), status=job.status)
    return HttpResponse(status=job.status)


urlpatterns: list[URLPattern | URLResolver] = [
    path("job", do_job),
    path("elsewhere", log_out_elsewhere),
    path("show", show),
    path("login", log_in),
    path("alogin", log_in_async),
    path("logout", log_out),
    path("keep", keep),
    path("fails", fails),
    path("count", count),
]

settings.configure(
    SECRET_KEY="for tests",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["testserver"],
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "crudjt.contrib.django",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    STATIC_URL="static/",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    SESSION_ENGINE="crudjt.contrib.django",
)
django.setup()
urlpatterns.append(path("admin/", admin.site.urls))  # its models are there from now on
call_command("migrate", verbosity=0)
