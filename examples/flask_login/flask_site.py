"""A login with Flask, for any number of worker processes.

    export CRUDJT_SECRET_KEY=$(crudjt keygen)
    gunicorn --workers 2 --chdir examples/flask_login --pythonpath .. 'flask_site:create_app("/srv/app")'

Open http://127.0.0.1:8000: register, log in, see your sessions on all devices and end them, set a new password by a
link that works once. The pages are in ``examples/templates``.
"""

from pathlib import Path
from typing import Any

from accounts import Accounts, send_mail
from devices import page_of
from flask import Flask, abort, current_app, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from other_sites import is_from_here

import crudjt
from crudjt.contrib.flask import Sessions, devices_of, end_session, revoke_user

USER = "user"
LINK_SECONDS = 600
TEMPLATES = Path(__file__).parents[1] / "templates"


def create_app(directory: str) -> Flask:
    """Return the application that keeps its users, sessions and links in a directory."""
    app = Flask(__name__, template_folder=str(TEMPLATES))
    app.config.update(
        CRUDJT_LOCATION=Path(directory) / "sessions",
        CRUDJT_SUBJECT_KEY=USER,
        CRUDJT_IDLE_TIMEOUT=30 * 60,
        CRUDJT_ABSOLUTE_TIMEOUT=12 * 3600,
        CRUDJT_RECORD_CLIENT=True,  # so that users recognise their sessions: say so in your privacy notice
        CRUDJT_DURABILITY="full",  # a logout survives a power failure
        SESSION_COOKIE_SAMESITE="Strict",
        OUTBOX=Path(directory) / "outbox",
    )
    Sessions(app)
    # A store of its own: the token of a link is no session, and that of a session no link.
    app.extensions["links"] = crudjt.open(Path(directory) / "links")
    app.extensions["accounts"] = Accounts(Path(directory) / "users.db")
    app.before_request(refuse_other_sites)
    app.add_url_rule("/", view_func=show)
    forms: dict[str, Any] = {"register": register, "login": login, "forgot": forgot, "reset/<link>": reset}
    for name, view in forms.items():
        app.add_url_rule(f"/{name}", view_func=view, methods=["GET", "POST"])
    buttons: dict[str, Any] = {"logout": logout, "logout-everywhere": logout_everywhere, "sessions/<handle>/end": end}
    for name, view in buttons.items():
        app.add_url_rule(f"/{name}", view_func=view, methods=["POST"])
    return app


def accounts() -> Accounts:
    """Return the users of the application."""
    found: Accounts = current_app.extensions["accounts"]
    return found


def links() -> crudjt.Store:
    """Return the store of links."""
    found: crudjt.Store = current_app.extensions["links"]
    return found


def refuse_other_sites() -> None:
    """Refuse what a form on another site sends. ``SameSite`` keeps the cookie from it already."""
    sent = request.headers
    if not is_from_here(request.method, sent.get("Sec-Fetch-Site"), sent.get("Origin"), request.host):
        abort(403)


def user() -> str:
    """Return who is logged in; any other visitor is refused."""
    name: str = session.get(USER) or abort(401)
    return name


def page(name: str, status: int = 200, **context: Any) -> ResponseReturnValue:
    """Return a page."""
    return render_template(f"{name}.html", **context), status


def show() -> ResponseReturnValue:
    """Show who is logged in, and where else."""
    if USER not in session:
        return redirect("/login")
    return page("sessions", **page_of(user(), devices_of(user())))


def register() -> ResponseReturnValue:
    """Make a user."""
    if request.method == "GET":
        return page("register")
    if not accounts().register(request.form["user"], request.form["password"]):
        return page("register", 409, message="This name is taken.")
    return redirect("/login", 303)


def login() -> ResponseReturnValue:
    """Log in. The session gets a new token, which no attacker can have planted."""
    if request.method == "GET":
        return page("login")
    if not accounts().knows(request.form["user"], request.form["password"]):
        return page("login", 403, message="The name or the password is wrong.")
    session[USER] = request.form["user"]
    return redirect("/", 303)


def logout() -> ResponseReturnValue:
    """Log out here."""
    session.clear()
    return redirect("/login", 303)


def logout_everywhere() -> ResponseReturnValue:
    """Log out on every device, and here."""
    ended = revoke_user(user())
    session.clear()
    return page("login", message=f"Sessions ended: {ended}.")


def end(handle: str) -> ResponseReturnValue:
    """Log out on another device. The handle of another user's session does nothing."""
    return redirect("/", 303) if end_session(user(), handle) else abort(404)


def forgot() -> ResponseReturnValue:
    """Mail the user a link that sets a new password, once. An unknown user gets the same answer."""
    if request.method == "GET":
        return page("forgot")
    name = request.form["user"]
    if accounts().has(name):
        link = links().create({"user": name}, ttl=LINK_SECONDS, max_reads=1)
        send_mail(current_app.config["OUTBOX"], name, link)
    return page("login", message="Look into your mail.")


def reset(link: str) -> ResponseReturnValue:
    """Set a new password, and end every session that knew the old one. To look at the page does not use the link up."""
    if request.method == "GET":
        return page("reset") if links().peek(link) else abort(404)
    used = links().read(link)
    if used is None:
        abort(404)
    name = used.data["user"]
    accounts().set_password(name, request.form["password"])
    revoke_user(name)
    return page("login", message="Log in with your new password.")
