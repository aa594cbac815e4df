"""Data that an application of Litestar puts in the place of its session, with ``request.set_session`` and the like."""

from typing import Any

from litestar.middleware.session.base import BaseSessionBackend
from litestar.types import Empty, Scope

from crudjt._core.type_guards import is_mapping
from crudjt.contrib._sessions.browser import BrowserSession

LOADED = "crudjt_session"
"""The key of the session in the state of a scope, also where the application has set something in its place."""


def take_over(scope: Scope) -> None:
    """Put what the application has set in place of the session into the session."""
    session = scope["state"].get(LOADED)
    values: Any = scope
    current = values.get("session")
    if session is not None and current is not session:
        replace(session, current)
        scope["session"] = session


def replace(session: BrowserSession, current: Any) -> None:
    """Put other data into a session: a dict, a model, or nothing."""
    if current is Empty or current is None:
        session.clear()
    elif is_mapping(current):
        session.replace(current)
    else:  # a model or a dataclass
        backend: Any = BaseSessionBackend
        session.replace(backend.deserialize_data(backend.serialize_data(current)))
