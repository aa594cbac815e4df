"""The admin page: who is logged in, end a session, is the store well. It needs the extra ``admin``.

``crudjt admin`` serves it alone. To mount it in an application that knows its own operators:

```python
import crudjt.aio
from crudjt import admin
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount


def operator(request: Request) -> str | None:
    return request.session.get("staff_name")  # however your application knows; None refuses


store = crudjt.aio.open("sessions")  # the key is in CRUDJT_SECRET_KEY
app = Starlette(routes=[Mount("/admin", admin.app(store, authorize=operator))])
```
"""

from crudjt._core.extras import require_extra

require_extra("admin")

from crudjt.admin.access import Authorize as Authorize  # noqa: E402 - as above
from crudjt.admin.application import app as app  # noqa: E402 - as above
