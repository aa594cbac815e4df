"""What the tests of the server share: servers in this process and of their own, clients."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

import crudjt
from tests.support import waiting

PATIENCE = waiting.PATIENCE
CHECK = "/grpc.health.v1.Health/Check"
TOKEN_SERVICE = "token.TokenService"
STORE_SERVICE = "crudjt.v1.Store"


def plaintext(address: str, *options: tuple[str, Any]) -> Any:
    """Return a channel; of any type, since its calls here take and give bytes."""
    return grpc.insecure_channel(address, options)


def call(channel: Any, path: str, request: bytes = b"", **options: Any) -> bytes:
    """Make a call with a request of any bytes, and return those of the response."""
    options.setdefault("timeout", PATIENCE)
    response: bytes = channel.unary_unary(path)(request, **options)
    return response


def refusal(channel: Any, path: str, request: bytes = b"", **options: Any) -> grpc.Call:
    """Make a call that must fail, and return how it did."""
    with pytest.raises(grpc.RpcError) as raised:
        call(channel, path, request, **options)
    return cast(grpc.Call, raised.value)


def serves(channel: Any, service: str = "", **options: Any) -> bool:
    """Ask the health service."""
    answer = call(channel, CHECK, HealthCheckRequest(service=service).SerializeToString(), **options)
    return HealthCheckResponse.FromString(answer).status == HealthCheckResponse.SERVING


def described_methods(channel: Any, version: str = "v1", **options: Any) -> dict[str, set[str]]:
    """Ask reflection for the services that are listed, and for the methods of each."""
    explain = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")

    def ask(**fields: Any) -> ServerReflectionResponse:
        request = ServerReflectionRequest(**fields).SerializeToString()
        [answer] = explain(iter([request]), timeout=PATIENCE, **options)
        return ServerReflectionResponse.FromString(answer)

    found: dict[str, set[str]] = {}
    for service in ask(list_services="").list_services_response.service:
        answer = ask(file_containing_symbol=service.name).file_descriptor_response
        files = [FileDescriptorProto.FromString(file) for file in answer.file_descriptor_proto]
        [described] = [each for file in files for each in file.service if f"{file.package}.{each.name}" == service.name]
        found[service.name] = {method.name for method in described.method}
    return found


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a call with an access token."""
    return (("authorization", f"Bearer {token}"),)


class ServeCommand:
    """`crudjt serve` as a process of its own, with JSON logs."""

    def __init__(self, home: Path, secret_key: str, *options: str, **environment: str) -> None:
        self.log_file = home / "log"
        self._home = home
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "crudjt", "serve", *options],
                env={
                    "PATH": os.defpath,
                    "HOME": str(home),
                    "PYTHONPATH": str(Path(crudjt.__file__).parents[1]),
                    "CRUDJT_PATH": str(home / "store"),
                    "CRUDJT_SECRET_KEY": secret_key,
                    "CRUDJT_LOG_FORMAT": "json",
                    **environment,
                },
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def lines(self) -> list[dict[str, Any]]:
        """Return what has been logged, but for a line of which only a part is there yet."""
        whole = self.log_file.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Return the first match of a pattern in a message of the log."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in self.lines():
                if match := re.search(pattern, line["message"]):
                    return match
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} in:\n{self.log_file.read_text()}")

    def wait_until_it_serves(self) -> list[str]:
        """Return its addresses."""
        return self.wait_for_line(r"^ready: (.*) \(workers: ")[1].split(", ")

    def worker_pids(self) -> list[int]:
        """Return the processes that have said that they serve."""
        return [line["process"] for line in self.lines() if line["message"].startswith("serving on")]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        """Leave nothing of it behind: its workers end when it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)


@contextmanager
def serve(home: Path, secret_key: str, *options: str, **environment: str) -> Iterator[ServeCommand]:
    """Run `crudjt serve` for a block."""
    command = ServeCommand(home, secret_key, *options, **environment)
    try:
        yield command
    finally:
        command.end()
