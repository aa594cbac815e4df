"""Browsers that call a web application in its own process: what a request costs, less HTTP and the server."""

import asyncio
import io
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from benchmarks.sites.interface import COOKIE

Jar = list[bytes]
"""The cookies of some browsers, as ``name=value``; empty before the first."""

_NAMED = f"{COOKIE}=".encode()
_PATIENCE = 600


def _taken(jar: Jar, browser: int, headers: Iterable[tuple[Any, Any]]) -> None:
    """Keep the cookie that a response sets."""
    for name, value in headers:
        if name.lower() in {"set-cookie", b"set-cookie"}:
            line = (value if isinstance(value, bytes) else value.encode("latin-1")).lstrip()  # Django has a space there
            if line.startswith(_NAMED):
                jar[browser] = line.partition(b";")[0]


class WsgiCaller:
    """Calls a WSGI application; many at once in as many threads."""

    def __init__(self, app: Any) -> None:
        """Take the application."""
        self._app = app

    def visit(self, jar: Jar, path: str, browsers: list[int]) -> None:
        """Send a request for each browser, one after the other."""
        for browser in browsers:
            self._request(jar, path, browser)

    def visit_together(self, jar: Jar, path: str, shares: list[list[int]]) -> None:
        """Send the requests of each share one after the other, and the shares at once."""
        threads = [threading.Thread(target=self.visit, args=(jar, path, share)) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE)

    def close(self) -> None:
        """Do nothing."""

    def _request(self, jar: Jar, path: str, browser: int) -> None:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "HTTP_HOST": "localhost",
        }
        if jar[browser]:
            environ["HTTP_COOKIE"] = jar[browser].decode("latin-1")
        statuses: list[str] = []

        def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> None:
            statuses.append(status)
            _taken(jar, browser, headers)

        body = self._app(environ, start_response)
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()
        assert statuses[0].startswith("200"), statuses


class AsgiCaller:
    """Calls an ASGI application; many at once in as many tasks of one loop."""

    def __init__(self, app: Any) -> None:
        """Take the application."""
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._run: Callable[[Coroutine[Any, Any, Any]], Any] = self._loop.run_until_complete

    def visit(self, jar: Jar, path: str, browsers: list[int]) -> None:
        """Send a request for each browser, one after the other."""
        self._run(self._visit(jar, path, browsers))

    def visit_together(self, jar: Jar, path: str, shares: list[list[int]]) -> None:
        """Send the requests of each share one after the other, and the shares at once."""
        self._run(self._gather(jar, path, shares))

    def close(self) -> None:
        """End the loop."""
        self._run(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _gather(self, jar: Jar, path: str, shares: list[list[int]]) -> None:
        await asyncio.gather(*[self._visit(jar, path, share) for share in shares])

    async def _visit(self, jar: Jar, path: str, browsers: list[int]) -> None:
        for browser in browsers:
            await self._request(jar, path, browser)

    async def _request(self, jar: Jar, path: str, browser: int) -> None:
        headers = [(b"host", b"localhost")]
        if jar[browser]:
            headers.append((b"cookie", jar[browser]))
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "server": ("localhost", 443),
            "client": ("127.0.0.1", 1),
        }
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                _taken(jar, browser, message["headers"])

        await self._app(scope, receive, send)
        assert statuses == [200], statuses
