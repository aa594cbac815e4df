"""The users that subjects of sessions are: names for many subjects at once, and subjects for what a search names."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from crudjt.contrib.django._users import subject_of_user

_LARGEST = 2**63 - 1  # SQLite takes no larger number, and Django 4.2 does not check it


def users_by_subject(subjects: Iterable[str | None]) -> dict[str, Any]:
    """Return the users of subjects, in one query. Deleted users, and subjects that are no users, are missing."""
    model: Any = get_user_model()
    keys = {subject: _key(model, subject) for subject in filter(None, subjects)}
    keys = {subject: key for subject, key in keys.items() if key is not None}
    users: dict[Any, Any] = model._default_manager.in_bulk(set(keys.values())) if keys else {}  # noqa: SLF001 - Django documents it
    return {subject: users[key] for subject, key in keys.items() if key in users}


def _key(model: Any, subject: str) -> Any:
    try:
        key = model._meta.pk.clean(subject, None)  # noqa: SLF001 - Django documents it
    except ValidationError:
        return None
    return None if isinstance(key, int) and abs(key) > _LARGEST else key


def subject_of_search(text: str) -> str:
    """Return the subject of the user who logs in by a name, else the text itself, which may be a primary key."""
    model: Any = get_user_model()
    try:
        user = model._default_manager.get_by_natural_key(text)  # noqa: SLF001 - Django documents it
    except model.DoesNotExist:
        return text
    return subject_of_user(user)
