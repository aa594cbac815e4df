"""A TCP proxy on loopback that passes requests on, and loses the replies that a test names."""

import re
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from types import TracebackType
from typing import TypeVar

from tests.support.processes import PATIENCE

_CHUNK_BYTES = 2**16
_TIME = re.compile(rb"(\*2\r\n\$10\r\n)(\d{10})(?=\r\n\$\d\r\n)")  # the beginning of a reply to TIME
_SLICE = 0.02  # seconds between two looks at whether the proxy is to end

AnyProxy = TypeVar("AnyProxy", bound="LossyProxy")


@dataclass
class Loss:
    """Which reply to lose, and how.

    Attributes:
        request: bytes that the request holds.
        times: how many replies are lost.
        skip: how many such requests are replied to before.
        passed: bytes of the reply that the client gets first.
        is_silent: the connection stays open, so that the client runs into its timeout; else it is closed.

    """

    request: bytes
    times: int = 1
    skip: int = 0
    passed: int = 0
    is_silent: bool = False


class LossyProxy:
    """Passes each connection on to a port of this host.

    Attributes:
        port: where it listens.
        skew: seconds that are added to the replies to TIME.
        lost: how many replies it has lost.
        accepted: how many connections it has accepted.

    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._loss: Loss | None = None
        self._share = 0.0
        self._some: tuple[bytes, ...] = ()
        self._random = Random(0)
        self._threads: list[threading.Thread] = []
        self.lost = self.accepted = self.skew = 0
        self._start(self._accept)

    def lose(self, request: bytes, *, times: int = 1, skip: int = 0, passed: int = 0, is_silent: bool = False) -> None:
        """Lose the replies to the next requests that hold some bytes, which the server carries out."""
        with self._lock:
            self._loss = Loss(request, times, skip, passed, is_silent)

    def lose_some(self, share: float, *requests: bytes) -> None:
        """Lose that share of the replies to requests that hold one of some bytes."""
        with self._lock:
            self._share, self._some = share, requests

    def pass_all(self) -> None:
        """Lose nothing from now on."""
        with self._lock:
            self._loss, self._share = None, 0.0

    def __enter__(self: AnyProxy) -> AnyProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._ending.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        self._listener.settimeout(_SLICE)
        while not self._ending.is_set():
            with suppress(TimeoutError, OSError):
                client, _ = self._listener.accept()
                self.accepted += 1
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._target), PATIENCE) as server:
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                each.settimeout(_SLICE)
            self._converse(client, server)

    def _converse(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on what either side sends, until one of them ends or a reply is lost."""
        request = b""
        loss: Loss | None = None
        while not self._ending.is_set():
            readable, _, _ = select.select([client, server], [], [], _SLICE)
            if client in readable:
                chunk = client.recv(_CHUNK_BYTES)
                if not chunk:
                    return
                request += chunk
                loss = loss or self._loss_of(request)
                server.sendall(chunk)
            if server in readable:
                chunk = server.recv(_CHUNK_BYTES)
                if not chunk:
                    return
                request = b""
                if loss is None:
                    client.sendall(_TIME.sub(self._skewed, chunk) if self.skew else chunk)
                    continue
                client.sendall(chunk[: loss.passed])
                if loss.passed < len(chunk):
                    self._count()
                    if loss.is_silent:
                        self._hold(client)
                    return
                loss = replace(loss, passed=loss.passed - len(chunk))

    def _loss_of(self, request: bytes) -> Loss | None:
        with self._lock:
            if self._random.random() < self._share and any(each in request for each in self._some):
                return Loss(b"")
            loss = self._loss
            if loss is None or not loss.times or loss.request not in request:
                return None
            if loss.skip:
                loss.skip -= 1
                return None
            loss.times -= 1
            return loss

    def _skewed(self, reply: re.Match[bytes]) -> bytes:
        return reply[1] + b"%d" % (int(reply[2]) + self.skew)

    def _count(self) -> None:
        with self._lock:
            self.lost += 1

    def _hold(self, client: socket.socket) -> None:
        """Keep a connection open, and silent, until the client closes it."""
        while not self._ending.is_set():
            with suppress(TimeoutError):
                if not client.recv(_CHUNK_BYTES):
                    return
