"""Web applications of several worker processes, and a browser to ask them with: real HTTP, each wait bounded."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.support.processes import PATIENCE, eventually

WORKERS = 2
_TOGETHER = 8  # requests at once, so that no worker can take them all


class Answer(NamedTuple):
    """What came back."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@contextmanager
def serving(command: Callable[[int], list[str]], **environment: str) -> Iterator[int]:
    """Run the command of a server beside the block; gives its port.

    The command gets the file descriptor of a socket that listens already, so that nobody needs to wait for the server.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.fileno()
        with subprocess.Popen(
            [sys.executable, "-m", *command(number)],
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | environment,
            pass_fds=[number],
        ) as process:
            try:
                yield listening.getsockname()[1]
            finally:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                finally:
                    process.kill()


def gunicorn(directory: Path, application: str, *options: str) -> Callable[[int], list[str]]:
    """Return the command that serves a WSGI application of a directory."""
    return lambda number: [
        *("gunicorn", "--workers", str(WORKERS), "--bind", f"fd://{number}", "--no-control-socket"),
        *("--log-level", "warning", "--chdir", str(directory), *options, application),
    ]


class Browser:
    """Keeps cookies, also those that are for TLS only, and shows their attributes."""

    def __init__(self, port: int, device: str = "laptop") -> None:
        self._port = port
        self._device = device
        self.cookies: dict[str, str] = {}
        self.attributes: dict[str, dict[str, Any]] = {}

    def get(self, path: str) -> Answer:
        return self._ask("GET", path)

    def post(self, path: str, origin: str | None = None, **form: str) -> Answer:
        return self._ask("POST", path, urlencode(form), origin)

    def get_from_every_worker(self, path: str, workers: Callable[[], set[str]]) -> list[Answer]:
        """Return answers to the same request, of every worker at least one; `workers` tells who has answered so far."""
        answers: list[Answer] = []

        def all_have_answered() -> bool:
            with ThreadPoolExecutor(_TOGETHER) as pool:
                answers.extend(pool.map(self.get, [path] * _TOGETHER))
            return len(workers()) == WORKERS

        assert eventually(all_have_answered, PATIENCE)
        return answers

    def _ask(self, method: str, path: str, body: str | None = None, origin: str | None = None) -> Answer:
        headers = {"User-Agent": self._device, "Cookie": "; ".join(f"{n}={v}" for n, v in self.cookies.items())}
        if body is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded"}
            headers |= {"X-CSRFToken": self.cookies.get("csrftoken", "")}
        if origin is not None:
            headers |= {"Origin": origin}
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.read().decode())
            for header in response.headers.get_all("Set-Cookie", []):
                self._take(SimpleCookie(header))
        finally:
            connection.close()
        return answer

    def _take(self, cookies: SimpleCookie) -> None:
        for name, morsel in cookies.items():
            self.attributes[name] = {key: value for key, value in morsel.items() if value}
            if morsel["max-age"] == "0" or " 1970 " in morsel["expires"]:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
