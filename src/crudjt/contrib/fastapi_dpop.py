"""Tokens that are bound to a key, for FastAPI: dependencies that verify proofs by DPoP (RFC 9449).

```python
from typing import Annotated

from fastapi import Depends, FastAPI

import crudjt.aio
from crudjt.contrib.dpop import AsyncDpop
from crudjt.contrib.fastapi_dpop import DpopKey, DpopSession
from crudjt import Session

app = FastAPI()
store = crudjt.aio.open("sessions")  # the key is in CRUDJT_SECRET_KEY
dpop = AsyncDpop(store)


@app.post("/login")
async def login(key: Annotated[str, Depends(DpopKey(dpop))]) -> str:
    return await store.create({}, ttl=3600, subject="alice", bound_to=key)  # the user whose password was right


@app.get("/me")
async def me(session: Annotated[Session, Depends(DpopSession(store, dpop))]) -> str | None:
    return session.subject
```

Clients send ``Authorization: DPoP TOKEN`` and a header ``DPoP`` with a proof for each request.
"""

from crudjt._core.extras import require_extra

require_extra("fastapi")
require_extra("dpop")

from fastapi import HTTPException, Request
from fastapi.openapi.models import HTTPBase
from fastapi.openapi.models import SecurityBase as SecurityModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from crudjt import AsyncStore, Session
from crudjt.contrib._access import (
    BEARER,
    DPOP,
    AccessRefused,
    Presented,
    presented,
    require_binding,
    require_scopes,
    unknown_token,
)
from crudjt.contrib._device_bound.binding import is_bound
from crudjt.contrib._fastapi_access import refusal, url_of
from crudjt.contrib._purposes import is_login
from crudjt.contrib._sessions.reserved import listed
from crudjt.contrib.api_tokens import ApiToken, AsyncApiTokens
from crudjt.contrib.dpop import AsyncDpop

__all__ = ["DpopApiToken", "DpopKey", "DpopSession"]


class DpopKey:
    """A dependency that returns the thumbprint of the key that a request proves to have, to bind a new token to.

    Without a good proof the answer is 400, with ``WWW-Authenticate: DPoP error="invalid_dpop_proof"`` or
    ``"use_dpop_nonce"`` and the header ``DPoP-Nonce``.
    """

    def __init__(self, dpop: AsyncDpop) -> None:
        """Take which proofs are good."""
        self._dpop = dpop

    async def __call__(self, request: Request) -> str:
        """Return the thumbprint.

        Raises:
            HTTPException: the request has no good proof.

        """
        try:
            return await self._dpop.prove(request.headers.getlist("dpop"), request.method, url_of(request))
        except AccessRefused as refused:
            raise refusal(refused, {DPOP: self._dpop.challenge}) from None


class _Bound(SecurityBase):
    """A dependency that takes tokens with proofs, and unless it is told otherwise those that are bound to no key."""

    def __init__(self, dpop: AsyncDpop, scheme_name: str, description: str, *, required: bool) -> None:
        self._dpop = dpop
        self._schemes = {DPOP: dpop.challenge} if required else {DPOP: dpop.challenge, BEARER: ""}
        self.scheme_name = scheme_name
        self.model: SecurityModel = HTTPBase(scheme=DPOP, description=description)

    def _presented(self, request: Request) -> Presented:
        return presented(request.headers.getlist("authorization"), self._schemes)

    async def _prove(self, request: Request, given: Presented, bound_to: str | None) -> None:
        """Check that a token is bound to the key that the request proves to have, or to none.

        Raises:
            AccessRefused: it is not.

        """
        if require_binding(given, bound_to):
            proofs = request.headers.getlist("dpop")
            await self._dpop.prove(proofs, request.method, url_of(request), token=given.token, bound_to=bound_to)

    def _refusal(self, refused: AccessRefused) -> HTTPException:
        return refusal(refused, self._schemes)


class DpopSession(_Bound):
    """A dependency that returns the session of a request: ``Depends(DpopSession(store, dpop))``.

    A token that is bound to a key has to come as ``Authorization: DPoP``, with a proof of that key; others as
    ``Bearer``. A request without gets 401, with ``invalid_token``, ``invalid_dpop_proof`` or ``use_dpop_nonce``, and
    changes nothing.
    """

    def __init__(
        self,
        store: AsyncStore,
        dpop: AsyncDpop,
        *,
        required: bool = False,
        scheme_name: str = "DPoP session",
        description: str = "The token of a session, with a proof of the key that it is bound to (RFC 9449).",
    ) -> None:
        """Take the store of the sessions, and which proofs are good.

        Args:
            store: keeps the sessions.
            dpop: says which proofs are good.
            required: whether a token that is bound to no key is refused.
            scheme_name: the name of the scheme in OpenAPI.
            description: what OpenAPI says of it.

        """
        super().__init__(dpop, scheme_name, description, required=required)
        self._store = store

    async def __call__(self, request: Request) -> Session:
        """Return the session.

        Raises:
            HTTPException: the request has no good token, or no proof of its key.

        """
        try:
            given = self._presented(request)
            session = await self._store.peek(given.token)
            if session is None or not is_login(session) or is_bound(session):
                raise unknown_token(given.scheme)
            await self._prove(request, given, session.bound_to)
            if session.last_seen is not None:
                session = await self._store.read(given.token)
        except AccessRefused as refused:
            raise self._refusal(refused) from None
        if session is None:  # it has ended since
            raise self._refusal(unknown_token(given.scheme))
        return listed(session)


class DpopApiToken(_Bound):
    """A dependency that returns the API token of a request, for ``Security(token, scopes=[…])`` or ``Depends(token)``.

    As `DpopSession` for proofs, and as `ApiTokenBearer` of ``crudjt.contrib.fastapi_tokens`` for scopes.
    """

    def __init__(
        self,
        tokens: AsyncApiTokens,
        dpop: AsyncDpop,
        *,
        required: bool = False,
        scheme_name: str = "DPoP API token",
        description: str = "An API token, with a proof of the key that it is bound to (RFC 9449).",
    ) -> None:
        """Take the API tokens, and which proofs are good.

        Args:
            tokens: reads the tokens.
            dpop: as in `DpopSession`, like the rest.
            required: whether a token that is bound to no key is refused.
            scheme_name: the name of the scheme in OpenAPI.
            description: what OpenAPI says of it.

        """
        super().__init__(dpop, scheme_name, description, required=required)
        self._tokens = tokens

    async def __call__(self, request: Request, security_scopes: SecurityScopes) -> ApiToken:
        """Return the API token.

        Raises:
            HTTPException: the request has none with the scopes, or no proof of its key.

        """
        try:
            given = self._presented(request)
            token = await self._tokens.peek(given.token)
            if token is None:
                raise unknown_token(given.scheme)
            await self._prove(request, given, token.bound_to)
            require_scopes(token.scopes, security_scopes.scopes, given.scheme)
            if token.last_seen is not None:
                token = await self._tokens.read(given.token)
        except AccessRefused as refused:
            raise self._refusal(refused) from None
        if token is None:  # it has ended since
            raise self._refusal(unknown_token(given.scheme))
        return token
