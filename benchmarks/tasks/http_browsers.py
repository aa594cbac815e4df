"""Browsers that ask a web server on loopback, and print what came of it as JSON: latencies and requests a second.

All of them keep one connection each, and send the next request when the answer has come. One thread serves them, since
many would compete for the interpreter.
"""

import json
import selectors
import socket
import sys
import time
from array import array
from dataclasses import dataclass, field

from benchmarks.sites.interface import COOKIE

_PATIENCE = 60
_NAMED = f"set-cookie: {COOKIE}=".encode()
_PERCENTILES = (50.0, 99.0)
_CHUNK = 65_536


@dataclass(frozen=True)
class Task:
    """How many browsers visit for how long; `rows` are names and paths, as in `tasks/requests.py`."""

    port: int
    browsers: int
    seconds: float
    rows: dict[str, str]


@dataclass
class Browser:
    """A connection and a cookie."""

    socket: socket.socket
    cookie: bytes = b""
    received: bytes = b""
    asked_ns: int = 0
    took: "array[int]" = field(default_factory=lambda: array("q"))

    def ask(self, path: str) -> None:
        """Send a request."""
        cookie = b"Cookie: " + self.cookie + b"\r\n" if self.cookie else b""
        self.asked_ns = time.perf_counter_ns()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Proto: https\r\n".encode() + cookie + b"\r\n"
        )

    def receive(self) -> bool:
        """Take what has come; return whether that is the whole answer."""
        # uvicorn sends head and body apart, and the second only when the first was acknowledged: without this, 40 ms.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        chunk = self.socket.recv(_CHUNK)
        assert chunk, "the server has closed the connection"
        self.received += chunk
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if not blank:
            return False
        lines = head.lower().split(b"\r\n")
        if b"transfer-encoding: chunked" in lines:
            whole = body.endswith(b"0\r\n\r\n")
        else:
            whole = len(body) >= next((int(line[16:]) for line in lines if line.startswith(b"content-length: ")), 0)
        if not whole:
            return False
        self.took.append(time.perf_counter_ns() - self.asked_ns)
        assert b" 200 " in lines[0], head
        for line, lower in zip(head.split(b"\r\n"), lines, strict=True):
            if lower.startswith(_NAMED):
                self.cookie = line[len(b"set-cookie: ") :].partition(b";")[0]
        self.received = b""
        return True


def measure(task: Task) -> dict[str, float]:
    """Return the percentiles of each row, in milliseconds, and how many requests there were a second."""
    browsers = [Browser(socket.create_connection(("127.0.0.1", task.port), _PATIENCE)) for _ in range(task.browsers)]
    visit(browsers, "/fill", 0)
    costs: dict[str, float] = {}
    for row, path in task.rows.items():
        cookies = [browser.cookie for browser in browsers]
        if row == "anonymous":
            for browser in browsers:
                browser.cookie = b""
        visit(browsers, path, task.seconds / 4)  # so that every worker is warm
        took, seconds = visit(browsers, path, task.seconds)
        costs[f"{row}, requests a second"] = len(took) / seconds
        costs |= {f"{row} p{each:g}, ms": took[round((len(took) - 1) * each / 100)] / 1e6 for each in _PERCENTILES}
        if row == "anonymous":
            for browser, cookie in zip(browsers, cookies, strict=True):
                browser.cookie = cookie
    return costs


def visit(browsers: list[Browser], path: str, seconds: float) -> "tuple[array[int], float]":
    """Let each browser ask for a path until the time is over, once at least; return what requests took, ascending."""
    started = time.perf_counter()
    deadline = started + seconds
    with selectors.DefaultSelector() as waiting:
        for browser in browsers:
            browser.took = array("q")
            waiting.register(browser.socket, selectors.EVENT_READ, browser)
            browser.ask(path)
        left = len(browsers)
        while left:
            ready = waiting.select(_PATIENCE)
            assert ready, "the server does not answer"
            for key, _ in ready:
                browser = key.data
                if not browser.receive():
                    continue
                if time.perf_counter() < deadline:
                    browser.ask(path)
                else:
                    left -= 1
    return array("q", sorted(each for browser in browsers for each in browser.took)), time.perf_counter() - started


if __name__ == "__main__":
    print(json.dumps(measure(Task(**json.loads(sys.argv[1])))))
