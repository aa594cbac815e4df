"""Sessions of Starlette, in place of Starlette's own, whose parameters it takes.

```python
from starlette.applications import Starlette
from starlette.middleware import Middleware

import crudjt.aio
from crudjt.contrib.starlette import SessionMiddleware

store = crudjt.aio.open("sessions")  # the key is in CRUDJT_SECRET_KEY
app = Starlette(middleware=[Middleware(SessionMiddleware, store=store, subject_key="user_id")])
```

The cookie holds the token, the data stays in the store. A cookie that the store did not mint is never adopted.
"""

from crudjt._core.extras import require_extra

require_extra("starlette")

from starlette.requests import HTTPConnection

from crudjt.contrib._sessions.asgi import SessionMiddleware
from crudjt.contrib._sessions.browser import BrowserSession
from crudjt.contrib._sessions.current import devices_of, end_session, revoke_user, session_in, sessions_of, still_alive
from crudjt.contrib._sessions.devices import Device
from crudjt.contrib._sessions.hooks import SessionEvent
from crudjt.contrib._sessions.starlette_switching import TakeOver
from crudjt.contrib._sessions.starsessions_switching import TakeOverStarsessions

__all__ = [
    "BrowserSession",
    "Device",
    "SessionEvent",
    "SessionMiddleware",
    "TakeOver",
    "TakeOverStarsessions",
    "devices_of",
    "end_session",
    "revoke_user",
    "session_of",
    "sessions_of",
    "still_alive",
]


def session_of(connection: HTTPConnection) -> BrowserSession:
    """Return the session of a request or a websocket: ``request.session``, by its own type.

    Raises:
        RuntimeError: the middleware is missing.

    """
    return session_in(connection.scope)
