"""The session core on a `Store`, for frameworks that block."""

import crudjt
from crudjt.contrib._sessions.core import Done, Steps
from crudjt.errors import VersionConflict


def run(store: crudjt.Store, steps: Steps) -> Done:
    """Carry out the calls that the core yields."""
    try:
        call = next(steps)
        while True:
            try:
                answer = call.on(store)
            except VersionConflict as conflict:
                answer = conflict
            except Exception as error:  # noqa: BLE001 - the core decides what follows, and raises it again
                call = steps.throw(error)
                continue
            call = steps.send(answer)
    except StopIteration as end:
        done: Done = end.value
        return done


def sessions_of(store: crudjt.Store, subject: str) -> list[crudjt.Session]:
    """Return the live sessions of a subject."""
    return list(store.sessions(subject))


def end_session(store: crudjt.Store, subject: str, handle: str) -> bool:
    """End a session by its handle if it is one of the subject's own; return whether it was."""
    return any(session.id == handle for session in store.sessions(subject)) and store.revoke_id(handle)
