"""`TokenAuthentication`: API tokens in the header ``Authorization``."""

from typing import Any

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from crudjt.contrib._access import note_bound
from crudjt.contrib.api_tokens import ApiToken
from crudjt.contrib.django._subjects import users_by_subject
from crudjt.contrib.rest_framework._settings import token_settings
from crudjt.contrib.rest_framework._tokens import api_tokens


class TokenAuthentication(BaseAuthentication):
    """Takes ``Authorization: Token …``; ``request.user`` is the user then, and ``request.auth`` an `ApiToken`.

    A request with another scheme, or without the header, is left to other authentication classes.
    """

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        """Return the user and the token of a request, ``None`` if it presents none.

        Raises:
            AuthenticationFailed: the token is malformed, unknown, expired, ended or bound to a key, or its user is not
                active.

        """
        scheme, *parts = get_authorization_header(request).split() or [b""]
        if scheme.lower() != self.authenticate_header(request).lower().encode():
            return None
        if not parts:
            raise AuthenticationFailed("Invalid token header. No credentials provided.")
        if len(parts) > 1:
            raise AuthenticationFailed("Invalid token header. Token string should not contain spaces.")
        return self.authenticate_credentials(parts[0].decode("latin-1"))

    def authenticate_credentials(self, text: str) -> tuple[Any, ApiToken]:
        """Return the user and the token of a text.

        Raises:
            AuthenticationFailed: as for `authenticate`.

        """
        tokens = api_tokens()
        token = tokens.peek(text)
        if token is None:
            raise AuthenticationFailed("Invalid token.")
        if token.bound_to is not None:
            note_bound()
            raise AuthenticationFailed("The token needs a proof of its key.")
        user = active_user(token.subject)
        if user is None:
            raise AuthenticationFailed("User inactive or deleted.")
        if token.last_seen is not None:  # a request that is refused does not restart the idle timeout
            token = tokens.read(text)
        if token is None:  # it has ended since
            raise AuthenticationFailed("Invalid token.")
        return user, token

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - of the base class
        """Return the scheme, which a 401 names."""
        scheme: str = token_settings.AUTH_HEADER_PREFIX
        return scheme


def active_user(subject: str | None) -> Any:
    """Return the active user of a primary key as text, ``None`` if there is none."""
    user = users_by_subject([subject]).get(subject or "")
    return user if user is not None and user.is_active else None
