"""API tokens for FastAPI: a dependency with scopes, which OpenAPI shows.

```python
from typing import Annotated

from fastapi import FastAPI, Security

import crudjt.aio
from crudjt.contrib.api_tokens import ApiToken, AsyncApiTokens
from crudjt.contrib.fastapi_tokens import ApiTokenBearer

app = FastAPI()
tokens = AsyncApiTokens(crudjt.aio.open("sessions"), prefix="myapp")  # the key is in CRUDJT_SECRET_KEY
bearer = ApiTokenBearer(tokens)


@app.get("/mail")
async def mail(token: Annotated[ApiToken, Security(bearer, scopes=["mail:read"])]) -> str:
    return f"mail of {token.subject}"
```

Clients send ``Authorization: Bearer TOKEN``. What they are answered without a good token is that of RFC 6750.
"""

from crudjt._core.extras import require_extra

require_extra("fastapi")

from fastapi import Request
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.openapi.models import SecurityBase as SecurityModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from crudjt.contrib._access import (
    BEARER,
    AccessRefused,
    presented,
    require_binding,
    require_scopes,
    unknown_token,
)
from crudjt.contrib._fastapi_access import refusal
from crudjt.contrib.api_tokens import ApiToken, AsyncApiTokens

__all__ = ["ApiTokenBearer"]


class ApiTokenBearer(SecurityBase):
    """A dependency that returns the API token of a request: ``Security(bearer, scopes=[…])`` or ``Depends(bearer)``.

    A request without a token gets 401, one with a token that is unknown, expired or ended too, with
    ``error="invalid_token"``; one whose token has not all of the scopes 403 and ``insufficient_scope``; and one whose
    header is malformed 400 and ``invalid_request``. Each answer has the header ``WWW-Authenticate``.
    """

    def __init__(
        self,
        tokens: AsyncApiTokens,
        *,
        scheme_name: str = "api token",
        description: str = "An API token, as it was shown when it was made.",
    ) -> None:
        """Take the API tokens, and what OpenAPI says of the scheme.

        Args:
            tokens: reads the tokens.
            scheme_name: the name of the scheme in OpenAPI.
            description: what OpenAPI says of it.

        """
        self._tokens = tokens
        self.scheme_name = scheme_name
        self.model: SecurityModel = HTTPBearerModel(bearerFormat="opaque", description=description)

    async def __call__(self, request: Request, security_scopes: SecurityScopes) -> ApiToken:
        """Return the API token of a request.

        Raises:
            HTTPException: it has none with the scopes, or one that is bound to a key.

        """
        try:
            return await self._token(request, security_scopes)
        except AccessRefused as refused:
            raise refusal(refused, {BEARER: ""}) from None

    async def _token(self, request: Request, security_scopes: SecurityScopes) -> ApiToken:
        given = presented(request.headers.getlist("authorization"), [BEARER])
        token = await self._tokens.peek(given.token)
        if token is None:
            raise unknown_token(given.scheme)
        require_binding(given, token.bound_to)
        require_scopes(token.scopes, security_scopes.scopes, given.scheme)
        if token.last_seen is not None:  # a request that is refused does not restart the idle timeout
            token = await self._tokens.read(given.token)
        if token is None:  # it has ended since
            raise unknown_token(given.scheme)
        return token
