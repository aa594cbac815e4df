"""The endpoint for Starlette and FastAPI: `endpoint(logout)`, for a route that takes POST.

```python
from starlette.routing import Route

import crudjt.aio
from crudjt.contrib.back_channel_logout import AsyncBackChannelLogout
from crudjt.contrib.back_channel_logout.starlette import endpoint

store = crudjt.aio.open("sessions")  # the key is in CRUDJT_SECRET_KEY
provider = "https://login.example.com"
logout = AsyncBackChannelLogout(store, issuer=provider, client_id="shop", jwks_uri=f"{provider}/jwks")
routes = [Route("/oidc/logout", endpoint(logout), methods=["POST"])]
```

In FastAPI: ``app.add_route("/oidc/logout", endpoint(logout), methods=["POST"])``.
"""

from crudjt._core.extras import require_extra

require_extra("starlette")

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from crudjt.contrib.back_channel_logout._answers import HEADERS, MAX_BODY_BYTES, answer_async
from crudjt.contrib.back_channel_logout._logout import AsyncBackChannelLogout


def endpoint(logout: AsyncBackChannelLogout) -> Callable[[Request], Awaitable[Response]]:
    """Return the function of a route, which the provider calls."""

    async def back_channel_logout(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
        status, content = await answer_async(logout, request.headers.get("content-type"), body)
        return Response(content, status, HEADERS)

    return back_channel_logout
