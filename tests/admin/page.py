"""The page over a store in this process, clients of it, and what they find in its answers."""

import re
from collections.abc import Iterator

from starlette.testclient import TestClient

import crudjt
import crudjt.aio
from crudjt.admin.access import SignedIn
from crudjt.admin.application import assembled

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
ACCESS_TOKEN = "an-access-token-of-an-operator"


class Page:
    """The page of a store as `crudjt admin` serves it, and clients of it."""

    def __init__(
        self,
        store: crudjt.Store,
        access_tokens: tuple[str, ...] = (),
        *,
        read_only: bool = False,
        show_data: bool = False,
    ) -> None:
        self.store = crudjt.aio.wrap(store)
        self.access = SignedIn(self.store, access_tokens, local="alice", secure=False)
        self._app = assembled(self.store, store, self.access, read_only=read_only, show_data=show_data)

    def client(self) -> TestClient:
        """Return a client that is not signed in."""
        return TestClient(self._app, headers=SAME_ORIGIN, follow_redirects=False)


def signed_in(page: Page) -> Iterator[TestClient]:
    """Yield a client that has opened the one-time link."""
    with page.client() as client:
        assert client.portal is not None
        code = client.portal.call(page.access.new_link_code)
        assert client.get(f"/enter/{code}").status_code == 303
        yield client


def handles(text: str) -> list[str]:
    """Return the handles that a page links to, in order."""
    return re.findall(r'href="[^"]*/sessions/([0-9a-f]{32})"', text)
