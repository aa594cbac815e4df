"""The session core on a `Store`, for frameworks that block."""

from collections.abc import Generator
from typing import Any, TypeVar

import crudjt
from crudjt._core.validation import is_handle
from crudjt.contrib._sessions.calls import UNKNOWN, Call
from crudjt.contrib._sessions.hooks import Tell
from crudjt.contrib._sessions.reserved import listed
from crudjt.errors import DataTooLarge, VersionConflict

Result = TypeVar("Result")


def run(
    store: crudjt.Store, steps: Generator[Call, Any, Result], limit: str | None = None, known: Any = UNKNOWN
) -> Result:
    """Carry out the calls that the core yields.

    Args:
        store: the store.
        steps: what `core.save` returned.
        limit: the setting of the largest data, which the error about it names; it counts for a store on this host.
        known: the answer to the first call, which was made already.

    """
    try:
        call = next(steps)
        if known is not UNKNOWN:
            call = steps.send(known)
        while True:
            try:
                answer = call.on(store)
            except VersionConflict as conflict:
                answer = conflict
            except Exception as error:  # noqa: BLE001 - the core decides what follows, and raises it again
                call = steps.throw(error)
                continue
            call = steps.send(answer)
    except DataTooLarge as error:
        if limit is None or store.max_data_bytes is None:
            raise
        raise DataTooLarge(error.size, error.limit, limit) from None
    except StopIteration as end:
        result: Result = end.value
        return result


def sessions_of(store: crudjt.Store, subject: str) -> list[crudjt.Session]:
    """Return the live sessions of a subject."""
    return [listed(session) for session in store.sessions(subject)]


def revoke(store: crudjt.Store, subject: str, keep: str | None, tell_ended: Tell | None) -> int:
    """End the sessions of a subject, except that of a token; tell which, and return how many."""
    if tell_ended is None:
        return store.revoke(subject, keep=keep)
    kept = None if keep is None else store.peek(keep)
    handles = [session.id for session in store.sessions(subject)]
    count = store.revoke(subject, keep=keep)
    for handle in handles:
        if kept is None or handle != kept.id:
            tell_ended(handle, subject, "revoked")
    return count


def end_session(store: crudjt.Store, subject: str, handle: str) -> bool:
    """End a session by its handle if it is one of the subject's own; return whether it was."""
    return is_handle(handle) and store.revoke_id(handle, subject=subject)
