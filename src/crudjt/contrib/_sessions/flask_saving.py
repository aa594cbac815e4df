"""Stores the session of a request to Flask, as the response begins and as the request ends."""

from collections.abc import Mapping
from typing import Any

from flask import Flask, current_app, request

from crudjt import Client
from crudjt.contrib._sessions import sync
from crudjt.contrib._sessions.calls import UNKNOWN, Lifetime
from crudjt.contrib._sessions.clients import client
from crudjt.contrib._sessions.core import save
from crudjt.contrib._sessions.flask_session import StoredSession, store_of
from crudjt.contrib._sessions.flask_signals import are_heard, tell_begun, tell_ended
from crudjt.contrib._sessions.hooks import tell
from crudjt.contrib._sessions.lifetime import idle_timeout, remaining, shortest
from crudjt.contrib._sessions.reserved import LIFETIME
from crudjt.contrib._sessions.states import Done, Held, Phase
from crudjt.contrib._sessions.switching import save_old
from crudjt.contrib._settings import ABSOLUTE_TIMEOUT, IDLE_TIMEOUT, max_sessions, record_client, timeout
from crudjt.errors import DataTooLarge, VersionConflict

DEVICE = "crudjt.device"
"""The name of the settings of device bound sessions among the extensions of an application."""

LIMIT = "crudjt.limit"
"""Likewise of what sets the largest data: a setting, or ``None`` where the application opened the store."""

ENVIRON = "crudjt.session"
"""The name of the session of a request in its environment: to look at `flask.session` would be an access."""


def saved(app: Flask, session: StoredSession, phase: Phase) -> Done:
    """Store a session; one that was not looked at cannot have changed."""
    held: Held | None = session.held
    if not session.accessed and not session.modified:
        session.seal()
        return Done("keep", held)
    touches = session.modified and phase is Phase.BEFORE_HEADERS
    if not touches and session.seal_if_stored():
        return Done("keep", held)
    known = UNKNOWN if phase is Phase.FAILED else _updated(app, session)
    if known is True:
        return Done("keep", session.held)
    left = session.left(
        lambda data, of: _lifetime(app, session, data, of),
        phase,
        touches=touches,
        max_sessions=max_sessions(settings(app).get),
        binds=app.extensions[DEVICE].offers,
        client=_client() if record_client(settings(app).get) else None,
    )
    steps = save(held, left) if session.claim is None else save_old(session.claim, left)
    done = sync.run(store_of(app), steps, app.extensions[LIMIT], known)
    session.take(done)
    if are_heard():
        session.identify(tell(store_of(app), held, left, done, tell_begun, tell_ended))
    return done


def _updated(app: Flask, session: StoredSession) -> Any:
    """Write changed data, if that is all; return the answer of the store, `UNKNOWN` if it was not called."""
    change = session.plain_change()
    if change is None:
        return UNKNOWN
    held = change.held
    ttl, idle = _lifetime(app, session, change.data, held)
    try:
        known = store_of(app).update(held.token, change.data, ttl, idle=idle, if_version=held.version)
    except VersionConflict as conflict:
        return conflict
    except DataTooLarge:  # `sync.run` names the setting
        return UNKNOWN
    if known:
        session.note_change(change)
    return known


def _client() -> Client | None:
    return client(request.remote_addr, request.headers.get("User-Agent"))


def save_late(error: BaseException | None) -> None:
    """Store what a stream changed after the headers; of a request that failed, carry out the logout only."""
    session = request.environ.get(ENVIRON)
    if session is not None:
        late = Phase.FAILED if error is not None or session.failed else Phase.AFTER_HEADERS
        saved(current_app, session, late)


def settings(app: Flask) -> dict[str, Any]:
    """Return the configuration, which Flask types without its items."""
    return app.config


def _lifetime(app: Flask, session: StoredSession, data: Mapping[Any, Any], held: Held | None) -> Lifetime:
    """Return how long a session lives: as chosen, or as Flask's own, which slide only if they are permanent."""
    default, absolute = timeout(settings(app).get, IDLE_TIMEOUT), timeout(settings(app).get, ABSOLUTE_TIMEOUT)
    kept = session.kept(data, held, default)
    if kept is not None:
        return kept
    idle = idle_timeout(data, default)
    chosen = data.get(LIFETIME)
    lifetime = app.permanent_session_lifetime.total_seconds()
    if chosen:
        return Lifetime(shortest(remaining(chosen, held), remaining(absolute, held)), idle)
    if chosen is None and data.get("_permanent") and app.config["SESSION_REFRESH_EACH_REQUEST"]:
        return Lifetime(remaining(absolute, held), shortest(idle, lifetime))
    return Lifetime(shortest(lifetime, remaining(absolute, held)), idle)
