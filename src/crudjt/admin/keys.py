"""How many live sessions each secret key has, so that an old one can be dropped."""

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from crudjt._core.key_uses import HasKeys
from crudjt.admin.pages import Pages


class Keys:
    """Shows the uses of the secret keys of a store that has them."""

    def __init__(self, store: HasKeys, pages: Pages) -> None:
        """Take the store, and what shows its keys."""
        self._store = store
        self._pages = pages
        self._one_at_a_time = anyio.Lock()

    async def ask(self, request: Request) -> Response:
        """Offer to count: that looks at every session."""
        return self._pages.show(request, "keys", rows=None)

    async def count(self, request: Request) -> Response:
        """Count the sessions of each key."""
        async with self._one_at_a_time:
            uses = await anyio.to_thread.run_sync(self._store.key_uses)
        shown = [use for use in uses if use.fingerprint is not None or use.sessions]
        rows = [(use.fingerprint or "unknown", f"{use.sessions:,}", use.verdict()) for use in shown]
        return self._pages.show(request, "keys", rows=rows)
