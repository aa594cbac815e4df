"""The sessions of a user: to list them, to end one, to end all; and the session of a request by its own type."""

from typing import Any, cast

from django.db.models import Model
from django.http import HttpRequest

import crudjt
from crudjt.contrib._sessions import sync
from crudjt.contrib._sessions.devices import Device, devices
from crudjt.contrib.django._backend import SessionStore
from crudjt.contrib.django._middleware import current_request, current_session
from crudjt.contrib.django._store import get_store
from crudjt.contrib.django.signals import session_ended, teller


def session_of(request: HttpRequest) -> SessionStore:
    """Return ``request.session`` by its own type, for type checkers."""
    return cast(SessionStore, request.session)


def sessions_of(user: Any) -> list[crudjt.Session]:
    """Return the live sessions of a user, or of a user's primary key: handles and data, never keys."""
    return sync.sessions_of(get_store(), subject_of_user(user))


def devices_of(user: Any) -> list[Device]:
    """Return the sessions of a user for the page "your sessions": that of the request first, then those last used.

    Raises:
        RuntimeError: no request is being served.

    """
    return devices(sessions_of(user), current_session().id)


def end_session(user: Any, handle: str) -> bool:
    """End one session of a user by its handle; return whether the user had it. Sessions of other users stay."""
    subject = subject_of_user(user)
    ended = sync.end_session(get_store(), subject, handle)
    tell_ended = teller(session_ended, SessionStore, current_request)
    if ended and tell_ended:
        tell_ended(handle, subject, "ended")
    return ended


def revoke_user(user: Any, keep_current: bool = False) -> int:
    """Log a user out everywhere; return how many sessions have ended. It holds in every process from the next request.

    Args:
        user: the user, or the primary key of one, who may be deleted.
        keep_current: whether the session of the request that is being served stays.

    Raises:
        RuntimeError: `keep_current`, and no request is being served.

    """
    keep = current_session().session_key if keep_current else None
    tell_ended = teller(session_ended, SessionStore, current_request)
    return sync.revoke(get_store(), subject_of_user(user), keep, tell_ended)


def subject_of_user(user: Any) -> str:
    """Return what Django's `login` keeps of a user in the session."""
    if isinstance(user, Model):
        model: Any = user
        return str(model._meta.pk.value_to_string(user))  # noqa: SLF001 - Django documents it
    return str(user)
