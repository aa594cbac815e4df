"""The sessions of a user: to list them, to end one, to end all."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Model

import crudjt
from crudjt.contrib._saving import end_own
from crudjt.contrib.django._store import get_store


def sessions_of(user: Any) -> Iterator[crudjt.Session]:
    """Yield the live sessions of a user, or of a user's primary key: handles and data, never keys."""
    return get_store().sessions(_subject(user))


def end_session(user: Any, handle: str) -> bool:
    """End one session of a user by its handle; return whether the user had it. Somebody else's stays untouched."""
    return end_own(get_store(), _subject(user), handle)


def revoke_user(user: Any, keep: str | None = None) -> int:
    """Log a user out everywhere, but in the session of the key `keep`; return how many sessions have ended.

    It holds for every process at once, from the next request on.

    Args:
        user: the user, or the primary key of one, who need not exist any more.
        keep: ``request.session.session_key``, to stay logged in here.

    """
    return get_store().revoke(_subject(user), keep=keep)


def _subject(user: Any) -> str:
    """Return what Django's `login` keeps of a user in the session."""
    if isinstance(user, Model):
        key = user._meta.pk  # noqa: SLF001 - Django documents it
        return str(key.value_to_string(user))
    return str(user)
