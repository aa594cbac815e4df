"""A login with Flask, for any number of worker processes.

    export CRUDJT_SECRET_KEY=$(crudjt keygen)
    gunicorn --workers 2 --chdir examples/flask_login 'flask_site:create_app("/srv/app")'

``POST /register`` and ``/login`` take ``user`` and ``password``; ``GET /`` shows who you are and your sessions on all
devices; ``POST /sessions/HANDLE/end``, ``/logout`` and ``/logout-everywhere`` end them. ``POST /forgot`` mails a link
that works once, and ``POST /reset/LINK`` sets a new ``password`` and ends every session of the user.
"""

import os
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, abort, current_app, request, session
from werkzeug.security import check_password_hash, generate_password_hash

import crudjt
from crudjt.contrib.flask import Sessions, devices_of, end_session, revoke_user

USER = "user"
NOBODY = generate_password_hash("")  # is compared with where there is no such user, so that both take as long
LINK_SECONDS = 600


def create_app(directory: str) -> Flask:
    """Return the application that keeps its users, sessions and links in a directory."""
    app = Flask(__name__)
    app.config.update(
        CRUDJT_LOCATION=Path(directory) / "sessions",
        CRUDJT_SUBJECT_KEY=USER,
        CRUDJT_IDLE_TIMEOUT=30 * 60,
        CRUDJT_ABSOLUTE_TIMEOUT=12 * 3600,
        CRUDJT_RECORD_CLIENT=True,  # so that users recognise their sessions: say so in your privacy notice
        CRUDJT_DURABILITY="full",  # a logout survives a power failure
        SESSION_COOKIE_SAMESITE="Strict",
        USERS=Path(directory) / "users.db",
        OUTBOX=Path(directory) / "outbox",
    )
    Sessions(app)
    # A store of its own: the token of a link is no session, and that of a session no link.
    app.extensions["links"] = crudjt.open(Path(directory) / "links")
    with users(app) as database:
        database.execute("CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, password TEXT NOT NULL)")
    app.before_request(refuse_other_sites)
    app.add_url_rule("/", view_func=show)
    app.add_url_rule("/sessions/<handle>/end", view_func=end, methods=["POST"])
    app.add_url_rule("/reset/<link>", view_func=reset, methods=["POST"])
    for name, view in (("register", register), ("login", login), ("forgot", forgot)):
        app.add_url_rule(f"/{name}", view_func=view, methods=["POST"])
    for name, view in (("logout", logout), ("logout-everywhere", logout_everywhere)):
        app.add_url_rule(f"/{name}", view_func=view, methods=["POST"])
    return app


def users(app: Flask) -> sqlite3.Connection:
    """Return the database of names and passwords."""
    return sqlite3.connect(app.config["USERS"], timeout=10)


def refuse_other_sites() -> None:
    """Refuse what a form on another site sends. ``SameSite`` keeps the cookie from it already."""
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin is not None and urlsplit(origin).netloc != request.host:
        abort(403)


def user() -> str:
    """Return who is logged in; anybody else is sent away."""
    name: str = session.get(USER) or abort(401)
    return name


def show() -> dict[str, Any]:
    """Show who is logged in, and where else."""
    devices = [
        {"handle": each.id, "device": each.agent, "since": str(each.begun), "here": each.here}
        for each in devices_of(user())
    ]
    return {"user": user(), "sessions": devices}


def register() -> str:
    """Make a user."""
    row = (request.form["user"], generate_password_hash(request.form["password"]))
    with users(current_app) as database:
        made = database.execute("INSERT OR IGNORE INTO users VALUES (?, ?)", row).rowcount
    return "welcome\n" if made else abort(409)


def login() -> str:
    """Log in. The session gets a new token, which no attacker can have planted."""
    name = request.form["user"]
    with users(current_app) as database:
        row = database.execute("SELECT password FROM users WHERE name = ?", (name,)).fetchone()
    if not check_password_hash(row[0] if row else NOBODY, request.form["password"]) or row is None:
        abort(403)
    session[USER] = name
    return "hello\n"


def logout() -> str:
    """Log out here."""
    session.clear()
    return "goodbye\n"


def logout_everywhere() -> str:
    """Log out on every device, and here."""
    ended = revoke_user(user())
    session.clear()
    return f"{ended} sessions ended\n"


def end(handle: str) -> str:
    """Log out on another device. The handle of another user's session does nothing."""
    return "ended\n" if end_session(user(), handle) else abort(404)


def forgot() -> str:
    """Mail the user a link that sets a new password, once. An unknown user gets the same answer."""
    links: crudjt.Store = current_app.extensions["links"]
    name = request.form["user"]
    with users(current_app) as database:
        row = database.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone()
    if row is not None:
        send_mail(name, links.create({"user": name}, ttl=LINK_SECONDS, max_reads=1))
    return "look into your mail\n"


def send_mail(name: str, link: str) -> None:
    """Write a line to a file that no other user can read. Your application sends a mail."""
    descriptor = os.open(current_app.config["OUTBOX"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{name} {link}\n")


def reset(link: str) -> str:
    """Set a new password, and end every session that knew the old one."""
    links: crudjt.Store = current_app.extensions["links"]
    used = links.read(link)
    if used is None:
        abort(404)
    name = used.data["user"]
    row = (generate_password_hash(request.form["password"]), name)
    with users(current_app) as database:
        database.execute("UPDATE users SET password = ? WHERE name = ?", row)
    revoke_user(name)
    return "log in with your new password\n"
