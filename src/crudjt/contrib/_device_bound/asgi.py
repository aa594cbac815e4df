"""Device bound sessions for ASGI: steps of the session middleware before the application, and at its response."""

import logging
from collections.abc import Awaitable, Callable, Container, MutableMapping
from typing import Any

from crudjt import AsyncStore
from crudjt.contrib._device_bound.answers import UNAVAILABLE, Answer, refusal
from crudjt.contrib._device_bound.decisions import HeaderOf, Verdict, verdict
from crudjt.contrib._device_bound.endpoints import answer, seconds
from crudjt.contrib._device_bound.headers import quoted_root, response_headers
from crudjt.contrib._device_bound.settings import DeviceBound
from crudjt.contrib._device_bound.tickets import is_cookie
from crudjt.contrib._sessions.asynchronous import run
from crudjt.contrib._sessions.cookie import Cookie
from crudjt.contrib._sessions.states import Held, found
from crudjt.errors import CrudjtError

logger = logging.getLogger("crudjt.contrib")

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[Any]]
_Send = Callable[[Any], Awaitable[None]]
_POLICY_VIOLATION = 1008


class DeviceGate:
    """The part of a session middleware that stands between requests of bound sessions and the application."""

    def __init__(self, settings: DeviceBound, cookie: Cookie) -> None:
        """Take the settings, and the cookie of the session."""
        self._settings = settings
        self._session_cookie = cookie
        self._cookie = Cookie(
            name=settings.cookie_name,
            max_age=None,
            path="/",
            same_site="lax",
            https_only=True,
            domain=None,
            partitioned=False,
        )

    @property
    def offers(self) -> bool:
        """Whether a login offers the browser to bind its session."""
        return self._settings.offers

    def answers(self, scope: _Scope) -> bool:
        """Return whether a request is not for the application where sessions are offered to devices."""
        return self._owned(scope)

    def is_routed(self, paths: Container[str]) -> bool:
        """Return ``True`` if a framework passes on requests to the paths.

        Raises:
            RuntimeError: it does not.

        """
        if self._settings.registration in paths and self._settings.refresh in paths:
            return True
        raise RuntimeError(
            f"device_bound=True needs handlers at {self._settings.registration} and {self._settings.refresh}: "
            f"add plugins=[DeviceBoundPaths({self._settings.path!r})] to the application"
        )

    async def answer(self, store: AsyncStore, scope: _Scope, send: _Send) -> None:
        """Answer a request to one of the paths."""
        try:
            token = self._session_cookie.value(scope["headers"])
            held = found(token, await store.read(token)) if token else None
        except CrudjtError:
            logger.exception("the store failed, so a device is not answered")
            await _send_answer(send, UNAVAILABLE)
        else:
            await self._answer(store, scope, send, held)

    def serves(self, scope: _Scope, held: Held) -> bool:
        """Return whether a request has its proof, or needs none: the quick way of `verdict`."""
        binding, read = held.device, held.read
        if binding is None or read is None:
            return True
        if not self._settings.offers and self._owned(scope):
            return False
        if not binding.registered:
            return True
        cookie = self._cookie.value(scope["headers"])
        return cookie is not None and is_cookie(binding.secret, cookie, seconds(read))

    async def verdict(
        self, store: AsyncStore, scope: _Scope, receive: _Receive, send: _Send, held: Held
    ) -> Verdict | None:
        """Return whether the application gets a session: `SERVE` or `EMPTY`. ``None``: the request was answered."""
        binding, read = held.device, held.read
        if binding is None or read is None:
            return Verdict.SERVE
        if self._owned(scope):
            await self._answer(store, scope, send, held)
            return None
        now, cookie = seconds(read), self._cookie.value(scope["headers"])
        given = verdict(binding, cookie, now, scope.get("method", ""), _headers(scope), read.id)
        refused = refusal(given, binding, now)
        if given is not Verdict.SERVE and scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        elif refused is None:
            return given
        else:
            await _send_answer(send, refused)
        return None

    async def headers(
        self, store: AsyncStore, scope: _Scope, before: Held | None, after: Held | None
    ) -> list[tuple[bytes, bytes]]:
        """Return headers for a response that sets or removes the cookie of the session; see `response_headers`."""
        given = await run(store, response_headers(self._settings, scope.get("root_path", ""), before, after))
        return [_encoded(name, value) for name, value in given]

    async def _answer(self, store: AsyncStore, scope: _Scope, send: _Send, held: Held | None) -> None:
        root = quoted_root(scope.get("root_path", ""))
        try:
            given = await run(store, answer(self._settings, _path(scope), root, held, _headers(scope)))
        except CrudjtError:
            logger.exception("the store failed, so a device is not answered")
            given = UNAVAILABLE
        await _send_answer(send, given)

    def _owned(self, scope: _Scope) -> bool:
        return scope["type"] == "http" and scope["method"] == "POST" and self._settings.owns(_path(scope))


def _path(scope: _Scope) -> str:
    """Return the path of a request below the root of the application."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _headers(scope: _Scope) -> HeaderOf:
    headers: list[tuple[bytes, bytes]] = scope["headers"]

    def value(name: str) -> str | None:
        wanted = name.encode("ascii")
        return next((value.decode("latin-1").strip() for each, value in headers if each.lower() == wanted), None)

    return value


def _encoded(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode("ascii"), value.encode("latin-1")


async def _send_answer(send: _Send, answer: Answer) -> None:
    headers = [_encoded(name, value) for name, value in answer.all_headers()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
