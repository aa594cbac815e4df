"""The endpoint for Django: `view(logout)`, for `urlpatterns`. It takes POST, and no CSRF token.

```python
from django.urls import path

import crudjt
from crudjt.contrib.back_channel_logout import BackChannelLogout
from crudjt.contrib.back_channel_logout.django import view

store = crudjt.open("sessions")  # the key is in CRUDJT_SECRET_KEY
provider = "https://login.example.com"
logout = BackChannelLogout(store, issuer=provider, client_id="shop", jwks_uri=f"{provider}/jwks")
urlpatterns = [path("oidc/logout", view(logout))]
```
"""

from crudjt._core.extras import require_extra

require_extra("django")

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from crudjt.contrib.back_channel_logout._answers import HEADERS, MAX_BODY_BYTES, answer
from crudjt.contrib.back_channel_logout._logout import BackChannelLogout


def view(logout: BackChannelLogout) -> Callable[[HttpRequest], HttpResponse]:
    """Return a view, which the provider calls."""

    @csrf_exempt
    @require_POST
    def back_channel_logout(request: HttpRequest) -> HttpResponse:
        body = request.read(MAX_BODY_BYTES + 1)
        status, content = answer(logout, request.content_type, body)
        return HttpResponse(content, status=status, headers=HEADERS)

    return back_channel_logout
