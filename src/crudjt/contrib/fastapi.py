"""Sessions for FastAPI: bearer tokens by dependencies, with their scheme in OpenAPI, and cookies by a middleware.

```python
from fastapi import FastAPI

import crudjt.aio
from crudjt.contrib.fastapi import RequiredSession, use_store

app = FastAPI()
store = use_store(app, crudjt.aio.open("sessions"))  # the key is in CRUDJT_SECRET_KEY


@app.get("/me")
async def me(session: RequiredSession) -> dict[str, object]:
    return session.data
```

A token is what `Store.create` returned; the client sends it as ``Authorization: Bearer TOKEN`` (RFC 6750). For
browsers, `SessionMiddleware` keeps the token in a cookie: ``app.add_middleware(SessionMiddleware, store=store)``.
"""

from crudjt._core.extras import require_extra

require_extra("fastapi")

from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, status
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

import crudjt
from crudjt import AsyncStore
from crudjt._core.models import Migrate, Model
from crudjt._core.session import Data
from crudjt.aio import wrap
from crudjt.contrib._device_bound.binding import is_bound
from crudjt.contrib._purposes import opens_alone
from crudjt.contrib._sessions.asgi import SessionMiddleware
from crudjt.contrib._sessions.browser import BrowserSession
from crudjt.contrib._sessions.clients import client_of_scope
from crudjt.contrib._sessions.current import (
    devices_of,
    end_session,
    enter_bearer,
    revoke_user,
    session_in,
    sessions_of,
    still_alive,
)
from crudjt.contrib._sessions.devices import Device
from crudjt.contrib._sessions.hooks import SessionEvent
from crudjt.contrib._sessions.reserved import listed
from crudjt.contrib._sessions.starlette_switching import TakeOver
from crudjt.contrib._sessions.starsessions_switching import TakeOverStarsessions

__all__ = [
    "BearerToken",
    "BrowserSession",
    "CurrentSession",
    "CurrentStore",
    "Device",
    "RequiredSession",
    "SessionEvent",
    "SessionMiddleware",
    "TakeOver",
    "TakeOverStarsessions",
    "bearer_token",
    "client_of",
    "current_session",
    "current_store",
    "devices_of",
    "end_session",
    "require_session",
    "revoke_user",
    "session_of",
    "sessions_of",
    "still_alive",
    "use_store",
]

_scheme = HTTPBearer(
    scheme_name="session",
    bearerFormat="opaque",
    description="The token of a session, as the login gave it.",
    auto_error=False,
)


def use_store(
    app: FastAPI, store: crudjt.Store | AsyncStore, *, model: type[Any] | None = None, migrate: Migrate | None = None
) -> AsyncStore:
    """Let the dependencies use an open store, which the caller closes; return it as an `AsyncStore`.

    Args:
        app: the application.
        store: its store.
        model: with it, the data of `CurrentSession` and `RequiredSession` are instances of it, as of `Store.typed`;
            write ``RequiredSession[User]`` so that type checkers know.
        migrate: as in `Store.typed`.

    """
    used = wrap(store)
    app.state.crudjt = used
    app.state.crudjt_model = None if model is None else Model(model, migrate)
    return used


async def current_store(request: Request) -> AsyncStore:
    """Return the store of the application, as a dependency.

    Raises:
        RuntimeError: `use_store` was not called.

    """
    store: AsyncStore | None = getattr(request.app.state, "crudjt", None)
    if store is None:
        raise RuntimeError("the application has no store: call crudjt.contrib.fastapi.use_store(app, store)")
    return store


def session_of(connection: HTTPConnection) -> BrowserSession:
    """Return the session of a cookie, as a dependency too: ``request.session``, by its own type.

    Raises:
        RuntimeError: the middleware is missing.

    """
    return session_in(connection.scope)


def client_of(connection: HTTPConnection) -> crudjt.Client | None:
    """Return the client of a request, for ``store.create(…, client=client_of(request))``; ``None`` if none is known.

    The address is `request.client.host`: the server puts the client's there if it trusts the proxy. Both are shortened.
    """
    return client_of_scope(connection.scope)


async def bearer_token(
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)],
) -> str | None:
    """Return the token that a request came with, as a dependency; ``None`` if it came with none. It is not checked."""
    return None if credentials is None else credentials.credentials


async def current_session(
    request: Request,
    token: Annotated[str | None, Depends(bearer_token)],
    store: Annotated[AsyncStore, Depends(current_store)],
) -> crudjt.Session[Any] | None:
    """Return the session of a request, as a dependency; ``None`` if it came with no token of a live one.

    A token with a limited number of reads or a purpose is a link, an API token or the like, and no session. That of a
    browser's session that is bound to its device is of no use here, where the browser's proof is missing.
    """
    session: crudjt.Session[Any] | None = None if token is None else await store.read(token)
    live = None if session is None or not opens_alone(session) or is_bound(session) else listed(session)
    model: Model[Any] | None = request.app.state.crudjt_model
    if live is not None and model is not None:
        live = model.session(live)
    if token is not None:
        enter_bearer(store, token if live is not None else None)
    return live


async def require_session(
    token: Annotated[str | None, Depends(bearer_token)],
    session: Annotated[crudjt.Session[Any] | None, Depends(current_session)],
) -> crudjt.Session[Any]:
    """Return the session of a request, as a dependency; without one, the answer is 401, with ``WWW-Authenticate``."""
    if session is None:
        challenge = "Bearer" if token is None else 'Bearer error="invalid_token"'
        raise HTTPException(
            status.HTTP_401_UNAUTHORIZED, "no valid session token", headers={"WWW-Authenticate": challenge}
        )
    return session


CurrentStore = Annotated[AsyncStore, Depends(current_store)]
"""The type of a parameter that is to be the store."""

BearerToken = Annotated[str | None, Depends(bearer_token)]
"""The type of a parameter that is to be the token, or ``None``."""

CurrentSession = Annotated[crudjt.Session[Data] | None, Depends(current_session)]
"""The type of a parameter that is to be the session, or ``None``; with a model, ``CurrentSession[User]``."""

RequiredSession = Annotated[crudjt.Session[Data], Depends(require_session)]
"""The type of a parameter that is to be the session; without one, the answer is 401. Also ``RequiredSession[User]``."""
