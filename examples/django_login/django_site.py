"""A login with Django, for any number of worker processes.

    export CRUDJT_SECRET_KEY=$(crudjt keygen) DJANGO_SECRET_KEY=$(crudjt keygen) DIRECTORY=/srv/app
    gunicorn --workers 2 --preload --chdir examples/django_login --pythonpath .. django_site:application

Open http://127.0.0.1:8000: register, log in, see your sessions on all devices and end them, set a new password by a
link that works once. The pages are in ``examples/templates``.
"""

import os
from pathlib import Path
from typing import Any

from accounts import send_mail
from devices import page_of
from django.conf import settings
from django.core.wsgi import get_wsgi_application

DIRECTORY = Path(os.environ["DIRECTORY"])
TEMPLATES = Path(__file__).parents[1] / "templates"
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
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [TEMPLATES]}],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.ScryptPasswordHasher"],
    LOGIN_URL="/login",
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
from django.contrib.auth.decorators import login_required  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError  # noqa: E402
from django.http import Http404, HttpRequest, HttpResponse  # noqa: E402
from django.shortcuts import redirect, render  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.http import require_GET, require_POST  # noqa: E402

import crudjt  # noqa: E402
from crudjt.contrib.django import devices_of, end_session, revoke_user  # noqa: E402

User: Any = get_user_model()
# A store of its own: the token of a link is no session, and that of a session no link.
links = crudjt.open(DIRECTORY / "links")
call_command("migrate", verbosity=0)


def page(request: HttpRequest, name: str, status: int = 200, **context: Any) -> HttpResponse:
    """Return a page."""
    return render(request, f"{name}.html", context, status=status)


@require_GET
@login_required
def show(request: HttpRequest) -> HttpResponse:
    """Show who is logged in, and where else."""
    return page(request, "sessions", **page_of(request.user.get_username(), devices_of(request.user)))


def register(request: HttpRequest) -> HttpResponse:
    """Make a user."""
    if request.method != "POST":
        return page(request, "register")
    try:
        User.objects.create_user(request.POST["user"], password=request.POST["password"])
    except IntegrityError:
        return page(request, "register", 409, message="This name is taken.")
    return redirect("/login")


def log_in(request: HttpRequest) -> HttpResponse:
    """Log in. The session gets a new key, which no attacker can have planted."""
    if request.method != "POST":
        return page(request, "login")
    user = authenticate(request, username=request.POST["user"], password=request.POST["password"])
    if user is None:
        return page(request, "login", 403, message="The name or the password is wrong.")
    login(request, user)
    return redirect("/")


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    """Log out here."""
    logout(request)
    return redirect("/login")


@require_POST
@login_required
def log_out_everywhere(request: HttpRequest) -> HttpResponse:
    """Log out on every device, and here."""
    ended = revoke_user(request.user)
    logout(request)
    return page(request, "login", message=f"Sessions ended: {ended}.")


@require_POST
@login_required
def end(request: HttpRequest, handle: str) -> HttpResponse:
    """Log out on another device. The handle of another user's session does nothing."""
    if not end_session(request.user, handle):
        raise Http404
    return redirect("/")


def forgot(request: HttpRequest) -> HttpResponse:
    """Mail the user a link that sets a new password, once. An unknown user gets the same answer."""
    if request.method != "POST":
        return page(request, "forgot")
    name = request.POST["user"]
    if User.objects.filter(username=name).exists():
        send_mail(DIRECTORY / "outbox", name, links.create({"user": name}, ttl=LINK_SECONDS, max_reads=1))
    return page(request, "login", message="Look into your mail.")


def reset(request: HttpRequest, link: str) -> HttpResponse:
    """Set a new password, and end every session that knew the old one. To look at the page does not use the link up."""
    used = links.read(link) if request.method == "POST" else links.peek(link)
    user = None if used is None else User.objects.filter(username=used.data["user"]).first()
    if user is None:
        raise Http404
    if request.method != "POST":
        return page(request, "reset")
    user.set_password(request.POST["password"])
    user.save()
    revoke_user(user)
    return page(request, "login", message="Log in with your new password.")


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
