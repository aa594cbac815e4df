"""Views to log in and out with API tokens, as those of django-rest-knox."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import DateTimeField
from rest_framework.views import APIView

import crudjt
from crudjt.contrib._api_token import MAX_NAME
from crudjt.contrib.api_tokens import ApiToken
from crudjt.contrib.rest_framework._authentication import TokenAuthentication
from crudjt.contrib.rest_framework._settings import token_settings
from crudjt.contrib.rest_framework._tokens import api_tokens, create_token, revoke_tokens


class LoginView(APIView):
    """Gives a user who has authenticated by another class, such as `BasicAuthentication`, a new token.

    Subclass it to set ``authentication_classes``, or to override `token_name`, `token_scopes` and `token_key`. Answers
    403 if the user has as many tokens as the setting allows.
    """

    permission_classes: Sequence[Any] = (IsAuthenticated,)

    def token_name(self, request: Request) -> str:
        """Return the name of the token: ``name`` of the request's data, or "login"."""
        name = request.data.get("name") if isinstance(request.data, dict) else None
        if not isinstance(name, str) or not name:
            return "login"
        return name[:MAX_NAME].encode("utf-8", "replace").decode()  # JSON may hold a lone surrogate

    def token_scopes(self, request: Request, /) -> list[str]:  # noqa: ARG002 - for subclasses
        """Return the scopes of the token: none."""
        return []

    def token_key(self, request: Request, /) -> str | None:  # noqa: ARG002 - for subclasses
        """Return the thumbprint of the key that the token is bound to: none."""
        return None

    def get_token_ttl(self) -> timedelta | None:
        """Return the lifetime of the token: ``None`` for that of the settings."""
        return None

    def get_post_response(self, request: Request, token: str, instance: ApiToken) -> Response:
        """Return the answer."""
        return Response(self.get_post_response_data(request, token, instance))

    def get_post_response_data(self, request: Request, token: str, instance: ApiToken) -> dict[str, Any]:
        """Return the data of the answer: the token, when it expires, and the user by ``USER_SERIALIZER``."""
        data: dict[str, Any] = {"expiry": _formatted(instance.expires_at), "token": token}
        serializer = token_settings.USER_SERIALIZER
        if serializer is not None:
            context = {"request": request, "format": self.format_kwarg, "view": self}
            data["user"] = serializer(request.user, context=context).data
        return data

    def post(self, request: Request, format: str | None = None) -> Response:  # noqa: A002, ARG002 - of the framework
        """Make a token."""
        try:
            name, scopes, key = self.token_name(request), self.token_scopes(request), self.token_key(request)
            text = create_token(request.user, name, scopes, ttl=self.get_token_ttl(), bound_to=key)
        except crudjt.TooManySessions:
            message = "Maximum amount of tokens allowed per user exceeded."
            return Response({"error": message}, status=status.HTTP_403_FORBIDDEN)
        instance = api_tokens().peek(text)
        assert instance is not None  # it was made by this request
        user_logged_in.send(sender=type(request.user), request=request, user=request.user)
        return self.get_post_response(request, text, instance)


class LogoutView(APIView):
    """Ends the token of the request."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (TokenAuthentication,)
    permission_classes: Sequence[Any] = (IsAuthenticated,)

    def end(self, request: Request) -> None:
        """End what is to end."""
        token: Any = request.auth
        revoke_tokens(request.user, id=token.id)

    def post(self, request: Request, format: str | None = None) -> Response:  # noqa: A002, ARG002 - of the framework
        """Log out."""
        self.end(request)
        user_logged_out.send(sender=type(request.user), request=request, user=request.user)
        return Response(None, status=status.HTTP_204_NO_CONTENT)


class LogoutAllView(LogoutView):
    """Ends all API tokens of the user. Sessions of browsers stay."""

    def end(self, request: Request) -> None:
        """End them."""
        revoke_tokens(request.user)


def _formatted(expiry: datetime | None) -> Any:
    return (
        None
        if expiry is None
        else DateTimeField(format=token_settings.EXPIRY_DATETIME_FORMAT).to_representation(expiry)
    )
