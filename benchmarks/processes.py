"""Processes that belong to a turn: workers and servers, on loopback and Unix sockets only, ended with the turn."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.environments import OURS, ROOT, Environment
from benchmarks.keys import SECRET_KEY
from tests.support.valkey_servers import Cluster, SingleServer

PREFIX = "crudjt-bench-"
TIME_LIMIT = 1800
GRPC_WORKERS = 2
REDIS_SOCKET = "redis.sock"
_START_SECONDS = 30
_STOP_SECONDS = 30
_POLL_SECONDS = 0.01


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def workspace() -> Iterator[str]:
    """Make a directory for one turn, where Python puts temporary files."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as directory:
        yield directory


def run(environment: Environment, module: str, *arguments: str) -> dict[str, Any]:
    """Run a module to its end and return its answer, the last line that it prints."""
    done = subprocess.run(
        environment.command(module, *arguments),
        cwd=ROOT,
        env=environment.variables,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIME_LIMIT,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


class Attendant:
    """A process that says when it is ready, goes on a line of input, and comes to its end when the input ends."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Wait until it is ready."""
        self._process = process
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"a process was not ready: {process.args!r}")

    def go(self) -> None:
        """Let it begin."""
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def finish(self) -> None:
        """Wait until it has done what it was to do."""
        assert self._process.stdout
        self._process.stdout.read()
        self._require_success()

    def stop(self) -> None:
        """End its input, and wait for its end."""
        self._process.communicate(timeout=TIME_LIMIT)
        self._require_success()

    def _require_success(self) -> None:
        if self._process.wait(TIME_LIMIT):
            raise subprocess.CalledProcessError(self._process.returncode, self._process.args)


@contextmanager
def attended(environment: Environment, module: str, *arguments: str) -> Iterator[Attendant]:
    """Run a module beside the block; it is killed at the end unless it has ended by itself."""
    with subprocess.Popen(
        environment.command(module, *arguments),
        cwd=ROOT,
        env=environment.variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        limit = threading.Timer(TIME_LIMIT, process.kill)
        limit.start()
        try:
            yield Attendant(process)
        finally:
            limit.cancel()
            process.kill()


def redis_server() -> str | None:
    """Return the program, if it is installed."""
    return shutil.which("redis-server")


@contextmanager
def redis(directory: str, port: int, *, durable: bool) -> Iterator[None]:
    """Serve from a directory, over TCP on loopback and over a socket, configured as `peers/redis_keys.py` says."""
    program = redis_server()
    assert program is not None, "redis-server is not installed"
    path = Path(directory, REDIS_SOCKET)
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", str(path), "--dir", directory]
    command += ["--appendonly", "yes", "--appendfsync", "always" if durable else "everysec", "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not path.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("redis-server did not start")
                time.sleep(_POLL_SECONDS)
            yield
        finally:
            _end(process)


def valkey_server() -> str | None:
    """Return the program, if it is installed."""
    return shutil.which("valkey-server")


@contextmanager
def valkey(directory: str, *, clustered: bool) -> Iterator[int]:
    """Run a server, or three primaries with a replica each, as the tests do; yields the port of one."""
    path = Path(directory, "servers")
    with Cluster(path) if clustered else SingleServer(path) as servers:
        yield servers.nodes[0].port


@contextmanager
def crudjt_server(directory: str, port: int) -> Iterator[None]:
    """Serve our store over gRPC, as `crudjt serve` does."""
    command = OURS.command("crudjt", "--store", f"{directory}/store", "serve", "--listen", f"127.0.0.1:{port}")
    command += ["--workers", str(GRPC_WORKERS), "--log-level", "warning"]
    with subprocess.Popen(command, env=os.environ | {"CRUDJT_SECRET_KEY": SECRET_KEY}, stdout=sys.stderr) as process:
        try:
            yield
        finally:
            _end(process)


@contextmanager
def web_server(command: list[str], port: int, variables: dict[str, str]) -> Iterator[None]:
    """Serve a web application on a port of loopback."""
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, stdout=sys.stderr) as process:
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not _accepts(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"a web server did not start: {command!r}")
                time.sleep(_POLL_SECONDS)
            yield
        finally:
            _end(process)


def _accepts(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
