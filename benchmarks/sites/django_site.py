"""Django: no session middleware; ours; signed cookies; the cache backend on Django's Redis cache.

A login does what `django.contrib.auth.login` does to a session: it cycles the key, where ours does that by itself, and
sets the id of the user, the backend and the hash of the password.
"""

import sys
from typing import Any

import django
import django.db  # as in every application with models: its signals are a part of each request
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks.keys import SECRET_KEY
from benchmarks.sites import catalogue, interface
from benchmarks.sites.interface import IDLE_SECONDS, LIFETIME_SECONDS, SECRET, VIEWS, Setup

_HASH = "5a" * 32  # of the password, by which Django notices that it was changed

_ENGINES = {
    catalogue.OURS: "crudjt.contrib.django",
    catalogue.SIGNED_COOKIE: "django.contrib.sessions.backends.signed_cookies",
    catalogue.REDIS: "django.contrib.sessions.backends.cache",
}


def open_site(setup: Setup) -> Any:
    """Set Django up, once in a process, and return the application."""
    without = setup.sessions == catalogue.NONE
    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        SECRET_KEY=SECRET,
        MIDDLEWARE=[] if without else ["django.contrib.sessions.middleware.SessionMiddleware"],
        SESSION_ENGINE=_ENGINES.get(setup.sessions, _ENGINES[catalogue.SIGNED_COOKIE]),
        SESSION_COOKIE_NAME=interface.COOKIE,
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_AGE=LIFETIME_SECONDS,
        CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": setup.redis_url}},
        CRUDJT_LOCATION=str(setup.store),
        CRUDJT_SECRET_KEY=SECRET_KEY,
        **_idle(setup),
    )
    django.setup()
    urls: Any = sys.modules[__name__]
    urls.urlpatterns = [path(name, _view(setup, name)) for name in VIEWS]
    urls.urlpatterns.append(path("anonymous", lambda _: HttpResponse("anonymous")))
    return WSGIHandler()


def _idle(setup: Setup) -> dict[str, Any]:
    """Return the settings that let each request extend a session."""
    if not setup.idle:
        return {}
    if setup.sessions == catalogue.OURS:
        return {"CRUDJT_IDLE_TIMEOUT": IDLE_SECONDS}
    return {"SESSION_SAVE_EVERY_REQUEST": True}


def _view(setup: Setup, name: str) -> Any:
    act, without, logs_in = VIEWS[name], setup.sessions == catalogue.NONE, name == "login"
    cycles = logs_in and not without and setup.sessions != catalogue.OURS

    def view(request: HttpRequest) -> HttpResponse:
        session: Any = dict(interface.SESSION) if without else request.session
        if cycles:
            session.cycle_key()
        if logs_in:
            session[SESSION_KEY] = "1000042"
            session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
            session[HASH_SESSION_KEY] = _HASH
            return HttpResponse("logged in")
        return HttpResponse(act(session))

    return view
