"""A web application of four worker processes on one directory of sessions.

    python application.py DIRECTORY [PORT]

Needs CRUDJT_SECRET_KEY. Every worker opens the directory and works on it directly: there is no server of sessions.
``POST /login?user=ada`` sets a cookie, ``GET /`` says who you are and which worker answered, ``POST /logout`` ends the
session for all four of them, from the next request on.
"""

import multiprocessing
import os
import signal
import socket
import sys
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import crudjt

WORKERS = 4
COOKIE = "session"


class Application(BaseHTTPRequestHandler):
    """Answers requests; `store` is the one of this worker."""

    store: crudjt.Store

    def do_GET(self) -> None:
        """Say who is logged in."""
        session = self.store.read(self.token)
        name = "nobody" if session is None else session.data["user"]
        self.answer(f"{name}, says worker {os.getpid()}\n")

    def do_POST(self) -> None:
        """Log in or out."""
        address = urlsplit(self.path)
        if address.path == "/login":
            user = parse_qs(address.query)["user"][0]
            token = self.store.create({"user": user}, idle=3600, subject=user)
            self.answer(f"welcome, {user}\n", f"{COOKIE}={token}; HttpOnly; SameSite=Lax; Path=/")
        elif address.path == "/logout":
            self.store.delete(self.token)
            self.answer("goodbye\n", f"{COOKIE}=; Max-Age=0; Path=/")
        else:
            self.send_error(404)

    @property
    def token(self) -> str:
        """The token in the cookie, or text that is none."""
        cookie = SimpleCookie(self.headers.get("Cookie", ""))
        return cookie[COOKIE].value if COOKIE in cookie else ""

    def answer(self, text: str, cookie: str | None = None) -> None:
        """Send a page."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        if cookie is not None:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Worker(ThreadingHTTPServer):
    """Accepts connections on a socket that all workers share: the kernel gives each to one of them."""

    def __init__(self, listening: socket.socket) -> None:
        """Take a socket that listens already."""
        super().__init__(listening.getsockname(), Application, bind_and_activate=False)
        self.socket.close()
        self.socket = listening


def work(directory: str, listening: socket.socket) -> None:
    """Be one worker."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with crudjt.open(directory) as Application.store, Worker(listening) as server:
        server.serve_forever()


def main() -> None:
    """Start the workers, and wait for them."""
    directory, port = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8000
    with socket.create_server(("127.0.0.1", port)) as listening:
        processes = multiprocessing.get_context("fork")
        workers = [processes.Process(target=work, args=(directory, listening)) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        try:
            for worker in workers:
                worker.join()
        finally:
            for worker in workers:
                worker.terminate()


if __name__ == "__main__":
    main()
