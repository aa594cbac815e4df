"""Access to the page: for operators that an application knows, or those with a one-time link or an access token."""

import inspect
import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import anyio
from starlette.requests import Request
from starlette.responses import Response

from crudjt._core.session import Session
from crudjt._rpc.access_tokens import matching
from crudjt.base import AsyncStore

SUBJECT = "crudjt admin"
"""The subject of the page's own sessions."""

Authorize: TypeAlias = Callable[[Request], "str | Awaitable[str | None] | None"]
"""Returns the name of the operator who makes a request, for the audit log; ``None`` or "" refuses it."""

_LINK_SECONDS = 600
_IDLE_SECONDS = 1800
_SESSION_SECONDS = 12 * 3600
_KIND = "crudjt_admin"


class Access(ABC):
    """Decides which requests are those of an operator."""

    signs_in: bool = False
    """Whether the page has a form to sign in, and ends its sessions itself."""

    def __init__(self) -> None:
        """Prepare `closing`, which is set when the page is no longer served: streams end then."""
        self.closing: anyio.Event = anyio.Event()

    @abstractmethod
    async def operator(self, request: Request) -> str | None:
        """Return the name of the operator who makes a request, ``None`` if it is none."""

    async def still_in(self, request: Request) -> bool:
        """Tell whether the operator of a request that goes on may still be answered."""
        return bool(await self.operator(request))


class Mounted(Access):
    """Access as the application decides it."""

    def __init__(self, authorize: Authorize) -> None:
        """Take the function that decides."""
        super().__init__()
        self._authorize = authorize

    async def operator(self, request: Request) -> str | None:
        """Ask the application."""
        answer = self._authorize(request)
        return (await answer if inspect.isawaitable(answer) else answer) or None


class SignedIn(Access):
    """Access by sessions of the page's own, which are kept in the store.

    They hold a secret of this object, so that no session of an application can pass for one of them, and none outlives
    the process.
    """

    signs_in: bool = True

    def __init__(self, store: AsyncStore, access_tokens: Sequence[str], *, local: str, secure: bool) -> None:
        """Take an open store.

        Args:
            store: where the sessions are kept.
            access_tokens: those that sign in; may be none.
            local: the name of the operator who opens the one-time link.
            secure: whether the page is served through TLS.

        """
        super().__init__()
        self._store = store
        self._expected = [token.encode() for token in access_tokens]
        self._local = local
        self._secure = secure
        self._secret = secrets.token_urlsafe()
        self._cookie = f"__Host-{_KIND}" if secure else _KIND

    @property
    def takes_tokens(self) -> bool:
        """Whether an access token signs in."""
        return bool(self._expected)

    async def new_link_code(self) -> str:
        """Return the code of a link that signs in once, within ten minutes."""
        data = {_KIND: self._secret, "link": True}
        return await self._store.create(data, ttl=_LINK_SECONDS, max_reads=1, subject=SUBJECT)

    async def enter(self, code: str) -> str | None:
        """Return the token of a new session for the code of a link, ``None`` if the code is not valid any more."""
        session = await self._store.peek(code)
        if session is None or session.subject != SUBJECT or session.data != {_KIND: self._secret, "link": True}:
            return None
        if await self._store.read(code) is None:  # another request was quicker
            return None
        return await self._begin(self._local)

    async def sign_in(self, access_token: str) -> str | None:
        """Return the token of a new session for an access token, ``None`` if that is not valid."""
        place = matching(access_token.encode(errors="replace"), self._expected)
        return None if place is None else await self._begin(f"access token {place + 1}")

    async def sign_out(self, request: Request) -> None:
        """End the session of a request."""
        if await self.still_in(request):
            await self._store.delete(request.cookies[self._cookie])

    async def operator(self, request: Request) -> str | None:
        """Read the session of the cookie, which restarts its idle timeout."""
        return await self._operator(request, self._store.read)

    async def still_in(self, request: Request) -> bool:
        """Look at the session of the cookie without restarting its idle timeout."""
        return await self._operator(request, self._store.peek) is not None

    def remember(self, response: Response, token: str) -> None:
        """Set the cookie of a session."""
        response.set_cookie(self._cookie, token, secure=self._secure, httponly=True, samesite="strict")

    def forget(self, response: Response) -> None:
        """Remove the cookie."""
        response.delete_cookie(self._cookie, secure=self._secure, httponly=True, samesite="strict")

    async def _begin(self, operator: str) -> str:
        data = {_KIND: self._secret, "operator": operator}
        return await self._store.create(data, ttl=_SESSION_SECONDS, idle=_IDLE_SECONDS, subject=SUBJECT)

    async def _operator(self, request: Request, look: Callable[[str], Awaitable[Session | None]]) -> str | None:
        token = request.cookies.get(self._cookie)
        session = await look(token) if token else None
        if session is None or session.subject != SUBJECT or session.data.get(_KIND) != self._secret:
            return None
        operator = session.data.get("operator")
        return operator if isinstance(operator, str) else None
