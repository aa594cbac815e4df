"""Flask: no sessions used; ours; its own signed cookie; Flask-Session on Redis, with its protection from fixation."""

from datetime import timedelta
from typing import Any

import flask
from redis import Redis

import crudjt
from benchmarks.keys import SECRET_KEY
from benchmarks.sites import catalogue, interface
from benchmarks.sites.interface import IDLE_SECONDS, LIFETIME_SECONDS, SECRET, USER_KEY, VIEWS, Setup
from crudjt.contrib.flask import Sessions


def open_site(setup: Setup) -> Any:
    """Return the application."""
    app = flask.Flask(__name__)
    app.config.update(
        SECRET_KEY=SECRET,
        SESSION_COOKIE_NAME=interface.COOKIE,
        SESSION_COOKIE_SECURE=True,
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=IDLE_SECONDS if setup.idle else LIFETIME_SECONDS),
        SESSION_REFRESH_EACH_REQUEST=setup.idle,
    )
    if setup.sessions == catalogue.OURS:
        app.config.update(CRUDJT_SUBJECT_KEY=USER_KEY)
        if setup.idle:
            app.config.update(CRUDJT_IDLE_TIMEOUT=IDLE_SECONDS)
        Sessions(app, store=crudjt.open(setup.store, secret_key=SECRET_KEY))
    elif setup.sessions == catalogue.REDIS:
        from flask_session import Session  # noqa: PLC0415 - it warns where it is imported

        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=Redis.from_url(setup.redis_url))
        Session(app)
    for name in VIEWS:
        app.add_url_rule(f"/{name}", name, _view(setup, name))
    app.add_url_rule("/anonymous", "anonymous", lambda: "anonymous")
    return app


def _view(setup: Setup, name: str) -> Any:
    act, without = VIEWS[name], setup.sessions == catalogue.NONE
    permanent = setup.idle and setup.sessions == catalogue.SIGNED_COOKIE and name == "fill"
    regenerates = setup.sessions == catalogue.REDIS and name == "login"

    def view() -> str:
        session: Any = dict(interface.SESSION) if without else flask.session
        answer = act(session)
        if permanent:
            session.permanent = True
        if regenerates:
            sessions: Any = flask.current_app.session_interface
            sessions.regenerate(session)
        return answer

    return view
