"""`HasScope`: a permission by the scopes of API tokens."""

from typing import TYPE_CHECKING, Any, ClassVar

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from crudjt.contrib.api_tokens import ApiToken

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which loads the default permission classes


class HasScope(BasePermission):
    """Lets a request through if its API token has the scopes: ``permission_classes = [HasScope.of("mail:read")]``.

    A request that came with no API token, such as that of a browser's session, has none of them. As other permissions,
    those of `of` are combined by ``&``, ``|`` and ``~``.
    """

    message = "The token has not the scopes that are required."
    scopes: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def of(cls, *scopes: str) -> "type[HasScope]":
        """Return the permission for tokens that have all of these scopes."""
        return type(cls.__name__, (cls,), {"scopes": scopes})

    def has_permission(self, request: Request, view: "APIView") -> bool:  # noqa: ARG002 - of the base class
        """Return whether the token of the request has the scopes."""
        token: Any = request.auth
        return isinstance(token, ApiToken) and token.allows(*self.scopes)
