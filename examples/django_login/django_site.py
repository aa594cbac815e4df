"""A login with Django, for any number of worker processes.

    export CRUDJT_SECRET_KEY=$(crudjt keygen) DJANGO_SECRET_KEY=$(crudjt keygen) DIRECTORY=/srv/app
    gunicorn --workers 2 --preload --chdir examples/django_login django_site:application

``POST /register`` and ``/login`` take ``user`` and ``password``; ``GET /`` shows who you are and your sessions on all
devices; ``POST /sessions/HANDLE/end``, ``/logout`` and ``/logout-everywhere`` end them. ``POST /forgot`` mails a link
that works once, and ``POST /reset/LINK`` sets a new ``password`` and ends every session of the user. Each POST needs
the CSRF token of the cookie that ``GET /`` sets, in the header ``X-CSRFToken``.
"""

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

DIRECTORY = Path(os.environ["DIRECTORY"])
LINK_SECONDS = 600

settings.configure(
    SECRET_KEY=os.environ["DJANGO_SECRET_KEY"],
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DIRECTORY / "users.db"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "crudjt.contrib.django"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.ScryptPasswordHasher"],
    SESSION_ENGINE="crudjt.contrib.django",
    SESSION_COOKIE_SECURE=True,
    CRUDJT_LOCATION=DIRECTORY / "sessions",
    CRUDJT_IDLE_TIMEOUT=30 * 60,
    CRUDJT_ABSOLUTE_TIMEOUT=12 * 3600,
    CRUDJT_RECORD_CLIENT=True,  # so that users recognise their sessions: say so in your privacy notice
    CRUDJT_DURABILITY="full",  # a logout survives a power failure
)
application = get_wsgi_application()

# What follows needs the settings above.
from django.contrib.auth import authenticate, get_user_model, login, logout  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError  # noqa: E402
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import ensure_csrf_cookie  # noqa: E402
from django.views.decorators.http import require_GET, require_POST  # noqa: E402

import crudjt  # noqa: E402
from crudjt.contrib.django import devices_of, end_session, revoke_user  # noqa: E402

User: Any = get_user_model()
# A store of its own: the token of a link is no session, and that of a session no link.
links = crudjt.open(DIRECTORY / "links")
call_command("migrate", verbosity=0)


@require_GET
@ensure_csrf_cookie
def show(request: HttpRequest) -> HttpResponse:
    """Show who is logged in, and where else."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    devices = [
        {"handle": each.id, "device": each.agent, "since": str(each.begun), "here": each.here}
        for each in devices_of(request.user)
    ]
    return JsonResponse({"user": request.user.get_username(), "sessions": devices})


@require_POST
def register(request: HttpRequest) -> HttpResponse:
    """Make a user."""
    try:
        User.objects.create_user(request.POST["user"], password=request.POST["password"])
    except IntegrityError:
        return HttpResponse(status=409)
    return HttpResponse("welcome\n")


@require_POST
def log_in(request: HttpRequest) -> HttpResponse:
    """Log in. The session gets a new key, which no attacker can have planted."""
    user = authenticate(request, username=request.POST["user"], password=request.POST["password"])
    if user is None:
        return HttpResponse(status=403)
    login(request, user)
    return HttpResponse("hello\n")


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    """Log out here."""
    logout(request)
    return HttpResponse("goodbye\n")


@require_POST
def log_out_everywhere(request: HttpRequest) -> HttpResponse:
    """Log out on every device, and here."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    ended = revoke_user(request.user)
    logout(request)
    return HttpResponse(f"{ended} sessions ended\n")


@require_POST
def end(request: HttpRequest, handle: str) -> HttpResponse:
    """Log out on another device. The handle of another user's session does nothing."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    return HttpResponse("ended\n") if end_session(request.user, handle) else HttpResponse(status=404)


@require_POST
def forgot(request: HttpRequest) -> HttpResponse:
    """Mail the user a link that sets a new password, once. An unknown user gets the same answer."""
    name = request.POST["user"]
    if User.objects.filter(username=name).exists():
        send_mail(name, links.create({"user": name}, ttl=LINK_SECONDS, max_reads=1))
    return HttpResponse("look into your mail\n")


def send_mail(name: str, link: str) -> None:
    """Write a line to a file that no other user can read. Your application sends a mail."""
    descriptor = os.open(DIRECTORY / "outbox", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{name} {link}\n")


@require_POST
def reset(request: HttpRequest, link: str) -> HttpResponse:
    """Set a new password, and end every session that knew the old one."""
    used = links.read(link)
    user = None if used is None else User.objects.filter(username=used.data["user"]).first()
    if user is None:
        raise Http404
    user.set_password(request.POST["password"])
    user.save()
    revoke_user(user)
    return HttpResponse("log in with your new password\n")


urlpatterns = [
    path("", show),
    path("register", register),
    path("login", log_in),
    path("logout", log_out),
    path("logout-everywhere", log_out_everywhere),
    path("sessions/<str:handle>/end", end),
    path("forgot", forgot),
    path("reset/<str:link>", reset),
]
