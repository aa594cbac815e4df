"""Sessions of Flask: ``Sessions(app)``, configured by ``CRUDJT_*`` beside Flask's own ``SESSION_COOKIE_*``.

The cookie holds the token, the data stays in the store. A cookie that the store did not mint is never adopted.
"""

from crudjt._core.extras import require_extra

require_extra("flask")

import re
import weakref
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from typing import Any, cast

from flask import Flask, Request, Response, request
from flask.sessions import SessionInterface, SessionMixin

import crudjt
from crudjt._core.session import is_of_older_key
from crudjt.contrib._device_bound.answers import Answer
from crudjt.contrib._device_bound.blocking import Asked, asked, decide, owned, unavailable
from crudjt.contrib._device_bound.decisions import Verdict
from crudjt.contrib._device_bound.headers import response_headers
from crudjt.contrib._device_bound.settings import DeviceBound
from crudjt.contrib._sessions import sync
from crudjt.contrib._sessions.devices import Device
from crudjt.contrib._sessions.flask_saving import DEVICE, ENVIRON, LIMIT, save_late, saved, settings
from crudjt.contrib._sessions.flask_session import EXTENSION, StoredSession, current_session, current_store, store_of
from crudjt.contrib._sessions.flask_signals import session_begun, session_ended
from crudjt.contrib._sessions.flask_switching import EXTENSION as SWITCH
from crudjt.contrib._sessions.flask_switching import Switch, checked_switch
from crudjt.contrib._sessions.flask_users import devices_of, end_session, revoke_user, sessions_of
from crudjt.contrib._sessions.lifetime import remaining
from crudjt.contrib._sessions.markup import untagged
from crudjt.contrib._sessions.reserved import LIFETIME
from crudjt.contrib._sessions.states import Held, Phase, found
from crudjt.contrib._settings import (
    ABSOLUTE_TIMEOUT,
    IDLE_TIMEOUT,
    MAX_DATA_BYTES,
    PREFIX,
    device_bound,
    max_sessions,
    open_configured,
    record_client,
    renew_keys,
    timeout,
    unknown,
)

if tuple(map(int, re.findall(r"\d+", version("flask"))[:3])) < (3, 1, 3):
    raise ImportError(
        f"crudjt.contrib.flask needs Flask 3.1.3 or newer, and Flask {version('flask')} is installed: "
        "pip install --upgrade 'flask>=3.1.3'"
    )

__all__ = [
    "Device",
    "Sessions",
    "StoredSession",
    "current_session",
    "current_store",
    "devices_of",
    "end_session",
    "revoke_user",
    "session_begun",
    "session_ended",
    "sessions_of",
]

COOKIE_SECURE = f"{PREFIX}COOKIE_SECURE"
SUBJECT_KEY = f"{PREFIX}SUBJECT_KEY"
_DEVICE_NAMES = {
    "https_only": COOKIE_SECURE,
    "domain": "SESSION_COOKIE_DOMAIN",
    "path": "SESSION_COOKIE_PATH",
    "partitioned": "SESSION_COOKIE_PARTITIONED",
    "max_age": "PERMANENT_SESSION_LIFETIME",
}
_ANSWER = "crudjt.answer"  # to a request that no view serves


class Sessions(SessionInterface):
    """The sessions of an application, or of several with `init_app`."""

    def __init__(self, app: Flask | None = None, *, store: crudjt.Store | None = None) -> None:
        """Take an open store, which the caller closes, or open the one that the configuration describes."""
        self._store = store
        self._opened: weakref.WeakSet[crudjt.Store] = weakref.WeakSet()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Become the sessions of an application that is configured.

        Raises:
            InvalidParameter: its configuration is not usable.
            StoreError: the store cannot be opened.

        """
        for problem in unknown(app.config, COOKIE_SECURE, SUBJECT_KEY):
            raise crudjt.InvalidParameter("config", problem)
        if SUBJECT_KEY not in app.config:
            raise crudjt.InvalidParameter(
                SUBJECT_KEY,
                f"{SUBJECT_KEY} is not set: set it to the key of the session that holds the user's id ('_user_id' with "
                "Flask-Login), so that a login gets a new token; or to None, if no user logs in or the application "
                "assigns session.subject",
            )
        settings(app).setdefault(COOKIE_SECURE, True)
        for name in (IDLE_TIMEOUT, ABSOLUTE_TIMEOUT):
            timeout(settings(app).get, name)
        max_sessions(settings(app).get)
        record_client(settings(app).get)
        renew_keys(settings(app).get)
        app.extensions[DEVICE] = self._device(app)
        store = self._store
        app.extensions[LIMIT] = MAX_DATA_BYTES if store is None else None
        if store is None:
            store = open_configured(settings(app).get)
            self._opened.add(store)
        app.extensions[EXTENSION] = store
        app.extensions[SWITCH] = checked_switch(settings(app).get, app.session_interface)
        app.session_interface = self
        app.before_request_funcs.setdefault(None, []).insert(0, _answer_for_device)  # before CSRF checks and guards
        app.teardown_request(save_late)

    def close(self) -> None:
        """Close the stores that were opened for applications. That of a collected application closes by itself."""
        while self._opened:
            self._opened.pop().close()

    def get_cookie_secure(self, app: Flask) -> bool:
        """Send the cookie over TLS only, unless ``CRUDJT_COOKIE_SECURE`` is false and Flask's setting is not on."""
        return bool(settings(app)[COOKIE_SECURE]) or super().get_cookie_secure(app)

    def get_cookie_samesite(self, app: Flask) -> str | None:
        """Keep the cookie from other sites' requests, unless the configuration says otherwise."""
        return super().get_cookie_samesite(app) or "Lax"

    def get_expiration_time(self, app: Flask, session: SessionMixin) -> datetime | None:
        """Return when the cookie ends: with the chosen lifetime, or as Flask; ``None`` for with the browser."""
        chosen = session.hidden(LIFETIME) if isinstance(session, StoredSession) else None
        if chosen is None:
            return super().get_expiration_time(app, session)
        left = remaining(chosen or None, cast(StoredSession, session).held)
        return None if left is None else datetime.now(timezone.utc) + timedelta(seconds=left)

    def open_session(self, app: Flask, request: Request) -> StoredSession:
        """Return the session of the cookie, an empty one if it names none that is alive."""
        token = request.cookies.get(self.get_cookie_name(app))
        device: DeviceBound = app.extensions[DEVICE]
        try:
            session = store_of(app).read(token) if token else None
        except crudjt.CrudjtError as error:
            if not (device.offers and owned(device, _asked(device, request))):
                raise
            session, request.environ[_ANSWER] = None, unavailable(error)
        held = found(token, session) if token else None
        if device.offers or (held is not None and held.device is not None):
            decided = decide(device, store_of(app), _asked(device, request), held)
            if isinstance(decided, Answer):
                request.environ.setdefault(_ANSWER, decided)
            if decided is not Verdict.SERVE:
                held = None
        data = untagged(session.data) if held is not None and session is not None else None
        switch: Switch | None = app.extensions[SWITCH] if session is None else None
        old = switch.old(app, request, token, store_of(app)) if switch is not None and token else None
        if old is not None:
            data = old.data
        opened = request.environ[ENVIRON] = StoredSession(data, held, settings(app)[SUBJECT_KEY])
        if old is not None:
            opened.go_on(old)
        if session is not None and is_of_older_key(session) and renew_keys(settings(app).get):
            opened.renew()
        return opened

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Store what has changed, and set or remove the cookie where that is due."""
        assert isinstance(session, StoredSession)
        refreshes = self.should_set_cookie(app, session)
        if session.accessed or refreshes:
            response.vary.add("Cookie")
        before = session.held
        failed = session.failed = response.status_code >= 500  # noqa: PLR2004 - server errors
        done = saved(app, session, Phase.FAILED if failed else Phase.BEFORE_HEADERS)
        held = done.held
        if done.cookie == "forget":
            response.delete_cookie(self.get_cookie_name(app), **self._cookie(app))
            self._add_device_headers(app, response, before, None)
        elif held is not None and (done.cookie == "set" or (refreshes and not failed and not done.lost)):
            if done.cookie == "set":
                response.headers.setdefault("Cache-Control", "no-store")  # no cache may keep this token
            response.set_cookie(
                self.get_cookie_name(app),
                held.token,
                expires=self.get_expiration_time(app, session),
                **self._cookie(app),
            )
            self._add_device_headers(app, response, before, held)

    def _add_device_headers(self, app: Flask, response: Response, before: Held | None, after: Held | None) -> None:
        device: DeviceBound = app.extensions[DEVICE]
        for name, value in sync.run(store_of(app), response_headers(device, request.root_path, before, after)):
            response.headers.add(name, value)

    def _device(self, app: Flask) -> DeviceBound:
        device = device_bound(
            settings(app).get,
            self.get_cookie_name(app),
            self.get_cookie_samesite(app) or "Lax",
            _DEVICE_NAMES,
        )
        device.require_usable(
            secure=self.get_cookie_secure(app),
            domain=self.get_cookie_domain(app),
            path=self.get_cookie_path(app),
            partitioned=self.get_cookie_partitioned(app),
            lifetime=app.permanent_session_lifetime.total_seconds(),
        )
        return device

    def _cookie(self, app: Flask) -> dict[str, Any]:
        return {
            "domain": self.get_cookie_domain(app),
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "httponly": self.get_cookie_httponly(app),
            "samesite": self.get_cookie_samesite(app),
            "partitioned": self.get_cookie_partitioned(app),
        }


def _asked(device: DeviceBound, request: Request) -> Asked:
    cookie = request.cookies.get(device.cookie_name)
    return asked(request.method, request.root_path, request.path, request.headers.get, cookie)


def _answer_for_device() -> Response | None:
    """Answer a request that no view is to serve: to a path of the device, or without its proof."""
    answer: Answer | None = request.environ.pop(_ANSWER, None)
    return None if answer is None else Response(answer.body, answer.status, answer.all_headers())
