"""The sessions of a user of a Flask application: to list them, to end one, to end all."""

import crudjt
from crudjt.contrib._sessions import sync
from crudjt.contrib._sessions.devices import Device, devices
from crudjt.contrib._sessions.flask_session import current_session, current_store
from crudjt.contrib._sessions.flask_signals import are_heard, tell_ended


def sessions_of(user: object) -> list[crudjt.Session]:
    """Return the live sessions of a user's id: handles and data, never tokens."""
    return sync.sessions_of(current_store(), str(user))


def devices_of(user: object) -> list[Device]:
    """Return the sessions of a user's id for the page "your sessions": this one first, then those last used."""
    return devices(sessions_of(user), current_session().id)


def end_session(user: object, handle: str) -> bool:
    """End one session of a user's id by its handle; return whether the user had it. Sessions of other users stay."""
    ended = sync.end_session(current_store(), str(user), handle)
    if ended:
        tell_ended(handle, str(user), "ended")
    return ended


def revoke_user(user: object, keep_current: bool = False) -> int:
    """Log a user out everywhere; return how many sessions have ended. It holds in every process from the next request.

    Args:
        user: the user's id.
        keep_current: whether the session of the current request stays.

    """
    held = current_session().held if keep_current else None
    keep = None if held is None else held.token
    return sync.revoke(current_store(), str(user), keep, tell_ended if are_heard() else None)
