"""A browser that talks to an ASGI application in this process, and an application that does what it is told."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from crudjt.aio import AsyncStore

Application = Callable[[Any, Any, Any], Awaitable[None]]
Act = Callable[[Any], Any]

COOKIE = "session"


class Answer(NamedTuple):
    """What came back: the result of the act, and the headers."""

    result: Any
    headers: list[tuple[str, str]]

    @property
    def set_cookies(self) -> list[str]:
        return [value for name, value in self.headers if name == "set-cookie"]

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each == name), None)


class Browser:
    """Keeps the cookie `session`, and sends it with each request."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.cookie: str | None = None

    async def request(self, kind: str = "http") -> Answer:
        """Make one request."""
        headers = [] if self.cookie is None else [(b"cookie", f"{COOKIE}={self.cookie}".encode())]
        scope = {"type": kind, "path": "/", "headers": headers, "query_string": b"", "method": "GET"}
        messages: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            messages.append(message)

        await self._application(scope, receive, send)
        answer = [(name.decode().lower(), value.decode()) for name, value in messages[0].get("headers", [])]
        for value in [value for name, value in answer if name == "set-cookie"]:
            self._keep(value)
        return Answer(scope.get("result"), answer)

    def _keep(self, header: str) -> None:
        value = header.removeprefix(f"{COOKIE}=").partition(";")[0]
        self.cookie = None if "expires=Thu, 01 Jan 1970" in header else value


def acting(act: Act, afterwards: Act | None = None) -> Application:
    """Return an application that does something with its session before the response, and after it has begun."""

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        scope["session"].mark_accessed()
        scope["result"] = await _done(act, scope["session"])
        kind = "http.response.start" if scope["type"] == "http" else "websocket.accept"
        await send({"type": kind, "status": 200, "headers": []})
        if afterwards is not None:
            await _done(afterwards, scope["session"])
        if scope["type"] == "http":
            await send({"type": "http.response.body", "body": b""})

    return application


async def _done(act: Act, session: Any) -> Any:
    result = act(session)
    return await result if asyncio.iscoroutine(result) else result


def delay_the_next_write(store: AsyncStore, seconds: float = 0.2) -> None:
    """Have an embedded store make its next write in a thread, which is busy for some time."""
    inside: Any = store
    inside._looks_now = False
    inside._threads._writer.submit(time.sleep, seconds)
