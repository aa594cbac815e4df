"""The login applications among the examples, each in two worker processes, and what a browser finds on their pages."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import crudjt
from tests.support.project import ROOT
from tests.support.web import WORKERS, Browser, gunicorn, serving

EXAMPLES = ROOT / "examples"
FIRST = "correct horse"
COOKIES = {
    "flask": "session",
    "django": "sessionid",
    "starlette": "__Host-session",
    "fastapi": "__Host-session",
    "litestar": "__Host-session",
}
"""The frameworks, and the cookie that holds the session."""

_ROW = re.compile(r'<tr data-handle="(\w+)"( data-here="true")?>\s*<th scope="row">(.*?)</th>')
_WORKER = re.compile(r'<span id="worker">(\d+)<')


class Site(NamedTuple):
    """An application that is being served."""

    port: int
    framework: str
    outbox: Path

    def __call__(self, device: str = "laptop") -> Browser:
        """Open a browser on it."""
        opened = Browser(self.port, device)
        opened.get("/login")
        return opened

    def logged_in(self, user: str, device: str = "laptop", password: str = FIRST) -> Browser:
        """Open a browser in which a user has logged in."""
        browser = self(device)
        browser.post("/register", user=user, password=FIRST)
        assert browser.post("/login", user=user, password=password).status in (302, 303)
        return browser


def uvicorn(framework: str) -> Callable[[int], list[str]]:
    """Return the command that serves an ASGI application of the examples."""
    factory = f"{framework}_login.{framework}_site:create_app"
    return lambda number: [
        *("uvicorn", "--fd", str(number), "--workers", str(WORKERS), "--log-level", "warning"),
        *("--app-dir", str(EXAMPLES), "--factory", factory),
    ]


@contextmanager
def served(framework: str, directory: Path, secret_key: str) -> Iterator[Site]:
    """Serve the application of a framework beside the block."""
    place, beside = EXAMPLES / f"{framework}_login", ("--pythonpath", "..")
    if framework == "flask":
        command = gunicorn(place, f"flask_site:create_app({str(directory)!r})", *beside)
    elif framework == "django":
        command = gunicorn(place, "django_site:application", "--preload", *beside)
    else:
        command = uvicorn(framework)
    environment = {
        "CRUDJT_SECRET_KEY": secret_key,
        "DJANGO_SECRET_KEY": crudjt.generate_secret_key(),
        "DIRECTORY": str(directory),
    }
    with serving(command, **environment) as port:
        yield Site(port, framework, directory / "outbox")


def user_on(page: str) -> str | None:
    """Return who is logged in, by the page of a user's sessions; ``None`` on another page."""
    found = re.search(r"<h1>Hello, (.*?)</h1>", page)
    return None if found is None else unescape(found[1])


def sessions_on(page: str) -> list[dict[str, Any]]:
    """Return the rows of the page of a user's sessions."""
    return [{"handle": row[0], "here": bool(row[1]), "device": unescape(row[2])} for row in _ROW.findall(page)]


def worker_on(page: str) -> str:
    """Return the id of the process that made a page of a user's sessions."""
    found = _WORKER.search(page)
    assert found, page
    return found[1]
