"""`flask.session` in the store."""

from typing import cast

from flask import Flask, current_app
from flask import session as flask_session
from flask.sessions import SessionMixin
from msgspec.structs import replace

import crudjt
from crudjt.contrib._sessions.browser import BrowserSession
from crudjt.contrib._sessions.calls import Data
from crudjt.contrib._sessions.flask_switching import Old
from crudjt.contrib._sessions.markup import tagged, untagged
from crudjt.contrib._sessions.merge import packed
from crudjt.contrib._sessions.states import Done
from crudjt.contrib._sessions.switching import Claim

EXTENSION = "crudjt"
"""The name of the store among the extensions of an application."""


class StoredSession(BrowserSession, SessionMixin):
    """`flask.session`: a dict, as always. It is stored if a request changed it, also deep inside its values.

    Attributes:
        modified: whether keys were set or removed. Set it to renew the lifetime of a session that is unchanged.

    """

    accessed = False
    modified = False

    old: Old | None = None
    """The session that the application had before, whose data this is until it is stored."""

    failed = False
    """Whether the answer is an error of the server: what was changed is not stored."""

    @property
    def new(self) -> bool:  # type: ignore[override] # a plain attribute there
        """Whether it is not stored yet."""
        return self.held is None

    @property
    def id(self) -> str | None:
        """The handle, as `Session.id`: no token. ``None`` until it is stored, and from a login until the response."""
        held = self._current()
        if held is None or held.id is not None:
            return None if held is None else held.id
        session = current_store().peek(held.token)
        return None if session is None else session.id

    @property
    def handle(self) -> str | None:
        """An older name of `id`."""
        return self.id

    def go_on(self, old: Old) -> None:
        """Be the session that the application had before."""
        self.old = old
        old.claim.before = packed(tagged(old.data))
        self.claim: Claim | None = old.claim

    def _joined(self) -> Data:
        tags: Data = tagged(super()._joined())
        return tags

    def take(self, done: Done) -> None:
        """Take over what was stored."""
        if self.old is not None and done.cookie != "keep":
            self.old.end()
            self.old = None
        super().take(done if done.merged is None else replace(done, merged=untagged(done.merged)))


def current_session() -> StoredSession:
    """Return `flask.session` by its own type, for type checkers."""
    store_of(current_app)
    return cast(StoredSession, flask_session)


def current_store() -> crudjt.Store:
    """Return the store of the current application."""
    return store_of(current_app)


def store_of(app: Flask) -> crudjt.Store:
    """Return the store of an application."""
    try:
        store: crudjt.Store = app.extensions[EXTENSION]
    except KeyError:
        raise RuntimeError("the application has no sessions of crudjt: call Sessions(app) first") from None
    return store
