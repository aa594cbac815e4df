"""Sessions of Flask: ``Sessions(app)``, configured by ``CRUDJT_*`` beside Flask's own ``SESSION_COOKIE_*``.

The cookie holds the token, the data stays in the store. A cookie that the store did not mint is never adopted.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from flask import Flask, Request, Response, current_app
from flask import session as flask_session
from flask.sessions import SecureCookieSession, SessionInterface, SessionMixin

import crudjt
from crudjt.contrib._saving import Held, Limits, begin, end_own, found, logger, read_session, remaining, save, shortest
from crudjt.contrib._settings import ABSOLUTE_TIMEOUT, IDLE_TIMEOUT, PREFIX, open_configured, timeout, unknown

EXTENSION = "crudjt"
COOKIE_SECURE = f"{PREFIX}COOKIE_SECURE"
SUBJECT_KEY = f"{PREFIX}SUBJECT_KEY"
DEFAULT_SUBJECT_KEY = "_user_id"


class StoredSession(SecureCookieSession):
    """`flask.session`: a dict, as always. It is written at the end of a request that has set or removed a key.

    What was changed within a value is seen only after ``session.modified = True``, as with Flask's own.

    Attributes:
        held: how it is stored, ``None`` if it is not.
        rotates: whether it gets a new token at the end of the request.

    """

    def __init__(self, initial: Mapping[str, Any] | None = None, held: Held | None = None) -> None:
        """Take the data of a stored session, or nothing."""
        super().__init__(initial)
        self.held = held
        self.rotates = False

    @property
    def new(self) -> bool:  # type: ignore[override] # a plain attribute there
        """Whether it is not stored yet."""
        return self.held is None

    @property
    def handle(self) -> str | None:
        """Its public name, as in a list of a user's sessions: no token. ``None`` if it is not stored."""
        if self.held is None:
            return None
        session = current_store().peek(self.held.token)
        return None if session is None else session.id

    def rotate(self) -> None:
        """Give it a new token at the end of the request, and kill the old one: whenever rights change.

        A change of the user does so by itself.
        """
        self.rotates = self.modified = True

    def __repr__(self) -> str:
        """Show no data."""
        return f"<StoredSession {'new' if self.new else 'stored'}>"


class Sessions(SessionInterface):
    """The sessions of an application, or of several with `init_app`."""

    def __init__(self, app: Flask | None = None, *, store: crudjt.Store | None = None) -> None:
        """Take an open store, or open the one that the configuration describes. Who opens a store closes it."""
        self._store = store
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Become the sessions of an application that is configured.

        Raises:
            InvalidParameter: its configuration is not usable.
            StoreError: the store cannot be opened.

        """
        names = unknown(app.config, COOKIE_SECURE, SUBJECT_KEY)
        if names:
            raise crudjt.InvalidParameter(
                ", ".join(names), f"unknown setting {', '.join(names)}; see the documentation for the names"
            )
        app.config.setdefault(COOKIE_SECURE, True)
        app.config.setdefault(SUBJECT_KEY, DEFAULT_SUBJECT_KEY)
        for name in (IDLE_TIMEOUT, ABSOLUTE_TIMEOUT):
            timeout(app.config.get, name)
        app.extensions[EXTENSION] = open_configured(app.config.get) if self._store is None else self._store
        app.session_interface = self

    def get_cookie_secure(self, app: Flask) -> bool:
        """Send the cookie over TLS only, unless ``CRUDJT_COOKIE_SECURE`` is false and Flask's setting is not on."""
        return bool(app.config[COOKIE_SECURE]) or super().get_cookie_secure(app)

    def get_cookie_samesite(self, app: Flask) -> str | None:
        """Keep the cookie from other sites' requests, unless the configuration says otherwise."""
        return super().get_cookie_samesite(app) or "Lax"

    def open_session(self, app: Flask, request: Request) -> StoredSession:
        """Return the session of the cookie, an empty one if it names none that is alive."""
        token = request.cookies.get(self.get_cookie_name(app))
        session = read_session(_store_of(app), token) if token else None
        if token is None or session is None:
            return StoredSession()
        return StoredSession(session.data, found(token, session))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Store what has changed, and set the cookie where that is due.

        A session that has ended meanwhile stays ended; its cookie is left alone, since the browser may have another by
        now.
        """
        assert isinstance(session, StoredSession)
        if session.accessed:
            response.vary.add("Cookie")
        if not session:
            self._end(app, session, response)
            return
        if not self.should_set_cookie(app, session):
            return
        response.vary.add("Cookie")
        held = _written(app, session)
        if held is None:
            logger.info("a session ended before a request of it did")
            return
        if session.held is None or held.token != session.held.token:
            response.headers.setdefault("Cache-Control", "no-store")  # nobody else may get this token
        session.held, session.rotates = held, False
        response.set_cookie(
            self.get_cookie_name(app), held.token, expires=self.get_expiration_time(app, session), **self._cookie(app)
        )

    def _end(self, app: Flask, session: StoredSession, response: Response) -> None:
        """End a session that the request has emptied."""
        if not session.modified:
            return
        held = session.held
        if held is not None:
            _store_of(app).delete(held.token)
        response.delete_cookie(self.get_cookie_name(app), **self._cookie(app))
        response.vary.add("Cookie")

    def _cookie(self, app: Flask) -> dict[str, Any]:
        return {
            "domain": self.get_cookie_domain(app),
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "httponly": self.get_cookie_httponly(app),
            "samesite": self.get_cookie_samesite(app),
            "partitioned": self.get_cookie_partitioned(app),
        }


def current_session() -> StoredSession:
    """Return `flask.session` as what it is: for type checkers, which do not know of `rotate` and `handle`."""
    return cast(StoredSession, flask_session)


def current_store() -> crudjt.Store:
    """Return the store of the current application."""
    return _store_of(current_app)


def sessions_of(user: object) -> list[crudjt.Session]:
    """Return the live sessions of a user's id: handles and data, never tokens."""
    return list(current_store().sessions(str(user)))


def end_session(user: object, handle: str) -> bool:
    """End one session of a user's id by its handle; return whether the user had it. Somebody else's stays untouched."""
    return end_own(current_store(), str(user), handle)


def revoke_user(user: object, *, keep: StoredSession | None = None) -> int:
    """Log a user out everywhere, but in the session `keep`; return how many sessions have ended.

    `keep` is `current_session`, to stay logged in here. It holds for every process at once, from the next request on.
    """
    held = None if keep is None else keep.held
    return current_store().revoke(str(user), keep=None if held is None else held.token)


def _store_of(app: Flask) -> crudjt.Store:
    store: crudjt.Store = app.extensions[EXTENSION]
    return store


def _written(app: Flask, session: StoredSession) -> Held | None:
    """Store a session that is not empty; return it as it is stored, ``None`` if it has ended meanwhile."""
    store, held = _store_of(app), session.held
    user = session.get(app.config[SUBJECT_KEY])
    subject = None if user is None or user == "" else str(user)
    limits = _limits(app, session, 0.0 if held is None else held.age)
    if held is None:
        return begin(store, session, subject, limits)
    if held.before.changed(session) or held.subject != subject:
        saved = save(store, held, session, subject, limits)
    elif session.modified:
        saved = held if store.touch(held.token, limits.ttl, idle=limits.idle) else None
    else:
        return held
    if saved is None or saved.token != held.token or not session.rotates:
        return saved
    token = store.rotate(held.token)
    return None if token is None else replace(saved, token=token)


def _limits(app: Flask, session: StoredSession, age: float) -> Limits:
    """Return how long a session lives: as Flask's own, which slide only if they are permanent."""
    lifetime = app.permanent_session_lifetime.total_seconds()
    idle, absolute = timeout(app.config.get, IDLE_TIMEOUT), timeout(app.config.get, ABSOLUTE_TIMEOUT)
    if session.permanent and app.config["SESSION_REFRESH_EACH_REQUEST"]:
        return Limits(remaining(absolute, age), shortest(idle, lifetime))
    return Limits(shortest(lifetime, remaining(absolute, age)), idle)
