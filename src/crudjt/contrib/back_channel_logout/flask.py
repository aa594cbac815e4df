"""The endpoint for Flask: `view(logout)`, for a rule that takes POST.

```python
from flask import Flask

import crudjt
from crudjt.contrib.back_channel_logout import BackChannelLogout
from crudjt.contrib.back_channel_logout.flask import view

store = crudjt.open("sessions")  # the key is in CRUDJT_SECRET_KEY
provider = "https://login.example.com"
logout = BackChannelLogout(store, issuer=provider, client_id="shop", jwks_uri=f"{provider}/jwks")
app = Flask(__name__)
app.add_url_rule("/oidc/logout", view_func=view(logout), methods=["POST"])
```

With Flask-WTF's CSRFProtect, exempt it: the provider has no CSRF token, and the logout token is signed.
"""

from crudjt._core.extras import require_extra

require_extra("flask")

from collections.abc import Callable
from urllib.parse import urlencode

from flask import Response, request

from crudjt.contrib.back_channel_logout._answers import HEADERS, MAX_BODY_BYTES, answer
from crudjt.contrib.back_channel_logout._logout import BackChannelLogout


def view(logout: BackChannelLogout) -> Callable[[], Response]:
    """Return a view, which the provider calls."""

    def back_channel_logout() -> Response:
        body = request.stream.read(MAX_BODY_BYTES + 1)
        if not body:  # a function before the request has looked at its form, which has used the stream up
            body = urlencode(list(request.form.items(multi=True))).encode()
        status, content = answer(logout, request.content_type, body)
        return Response(content, status, HEADERS)

    return back_channel_logout
