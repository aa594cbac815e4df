"""The API tokens of Django's users, by the settings of the project."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from crudjt.contrib.api_tokens import ApiToken, ApiTokens
from crudjt.contrib.django import get_store
from crudjt.contrib.django._users import subject_of_user
from crudjt.contrib.rest_framework._settings import token_settings


def api_tokens() -> ApiTokens:
    """Return the API tokens of the project.

    Raises:
        InvalidParameter: a setting is not usable.
        StoreError: the store cannot be opened.

    """
    ttl: timedelta | None = token_settings.TOKEN_TTL
    refreshes: bool = token_settings.AUTO_REFRESH
    return ApiTokens(
        get_store(),
        token_settings.TOKEN_PREFIX,
        ttl=token_settings.AUTO_REFRESH_MAX_TTL if refreshes else ttl,
        idle=ttl if refreshes else None,
        max_tokens=token_settings.TOKEN_LIMIT_PER_USER,
    )


def create_token(
    user: Any,
    name: str = "token",
    scopes: Collection[str] = (),
    data: dict[Any, Any] | None = None,
    *,
    ttl: timedelta | float | None = None,
    bound_to: str | None = None,
) -> str:
    """Return the text of a new token for a user, or for the primary key of one. Show it once.

    Args:
        user: the user, or the primary key.
        name: what the user calls it.
        scopes: what it allows, for `HasScope`.
        data: what ``request.auth.data`` is to have.
        ttl: its lifetime, in seconds or as a `timedelta`, in the place of that of the settings.
        bound_to: as in `ApiTokens.create`; ``crudjt.contrib.rest_framework.dpop.prove_key`` returns it.

    Raises:
        InvalidParameter: a parameter or a setting is not usable.
        TooManySessions: the user has ``TOKEN_LIMIT_PER_USER`` already.

    """
    return api_tokens().create(subject_of_user(user), name, scopes, data, ttl=ttl, bound_to=bound_to)


def tokens_of(user: Any) -> list[ApiToken]:
    """Return the live tokens of a user, or of a user's primary key, oldest first; never their texts."""
    return api_tokens().of(subject_of_user(user))


def revoke_tokens(user: Any, *, id: str | None = None) -> int:  # noqa: A002 - named as ApiToken.id is
    """End the tokens of a user, or of a user's primary key; return how many have ended.

    Args:
        user: the user, or the primary key of one, who may be deleted.
        id: the `ApiToken.id` of the only one to end. That of another user's token ends nothing.

    """
    subject = subject_of_user(user)
    if id is None:
        return api_tokens().revoke(subject)
    return int(api_tokens().revoke_id(id, subject=subject))
