"""The endpoint for Litestar: `handler(path, logout)`, for `route_handlers`.

```python
from litestar import Litestar

import crudjt.aio
from crudjt.contrib.back_channel_logout import AsyncBackChannelLogout
from crudjt.contrib.back_channel_logout.litestar import handler

store = crudjt.aio.open("sessions")  # the key is in CRUDJT_SECRET_KEY
provider = "https://login.example.com"
logout = AsyncBackChannelLogout(store, issuer=provider, client_id="shop", jwks_uri=f"{provider}/jwks")
app = Litestar(route_handlers=[handler("/oidc/logout", logout)])
```

Litestar's CSRF middleware leaves it alone: the provider has no CSRF token, and the logout token is signed.
"""

from crudjt._core.extras import require_extra

require_extra("litestar")

from typing import Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler

from crudjt.contrib.back_channel_logout._answers import HEADERS, MAX_BODY_BYTES, answer_async
from crudjt.contrib.back_channel_logout._logout import AsyncBackChannelLogout


def handler(path: str, logout: AsyncBackChannelLogout) -> HTTPRouteHandler:
    """Return a route handler, which the provider calls."""

    @post(path, exclude_from_csrf=True, include_in_schema=False, request_max_body_size=MAX_BODY_BYTES)
    async def back_channel_logout(request: Request[Any, Any, Any]) -> Response[bytes]:
        body = await request.body()
        status, content = await answer_async(logout, request.headers.get("content-type"), body)
        return Response(content, status_code=status, headers=HEADERS)

    return back_channel_logout
