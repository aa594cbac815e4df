"""Processes in which `CRUDJT` is driven, ours or the original's, with a bound on every wait."""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.ports import free_port, listening
from tests.support.processes import PATIENCE, eventually

SCRIPT = Path(__file__).with_name("agent.py")

INSTALLATION_SECONDS = 300


class Raised(Exception):
    """What a call raised in the other process: the names of its classes, the most special first, and its message."""

    def __init__(self, classes: list[str], message: str) -> None:
        super().__init__(f"{classes[0]}: {message}")
        self.classes = classes
        self.message = message


class Agent:
    """A process that imports `CRUDJT` with a Python of its own, and calls of it what it is told."""

    def __init__(self, python: Path, directory: Path) -> None:
        self._pipe, theirs = Pipe()
        command = [str(python), "-I", str(SCRIPT), str(theirs.fileno())]
        self.process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], cwd=directory, stderr=subprocess.PIPE, text=True
        )
        theirs.close()
        self.port = 0
        self._receive()

    def _receive(self) -> Any:
        assert self._pipe.poll(PATIENCE), "no answer"
        try:
            return self._pipe.recv()
        except EOFError:
            raise AssertionError(self.process.communicate(timeout=PATIENCE)) from None

    def call(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Return what ``CRUDJT.name(…)`` returns.

        Raises:
            Raised: in place of what it raised.

        """
        self._pipe.send((name, arguments, keywords))
        kind, *answer = self._receive()
        if kind == "raised":
            raise Raised(*answer)
        return answer[0]

    def create(self, *arguments: Any) -> Any:
        return self.call("create", *arguments)

    def read(self, *arguments: Any) -> Any:
        return self.call("read", *arguments)

    def update(self, *arguments: Any) -> Any:
        return self.call("update", *arguments)

    def delete(self, *arguments: Any) -> Any:
        return self.call("delete", *arguments)

    def serve(self, **options: Any) -> "Agent":
        """Start a master on a port that nobody uses; return when it answers there."""
        self.port = free_port()
        self.call("Config.start_master", grpc_port=self.port, **options)
        assert eventually(lambda: listening(self.port), PATIENCE)
        return self

    def connect(self, port: int) -> "Agent":
        self.call("Config.connect_to_master", grpc_port=port)
        return self

    def finish(self) -> str:
        """Let the script reach its end; return what the process wrote to its error output, once it has ended."""
        self._pipe.close()
        _, errors = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, errors
        return errors

    def end(self) -> None:
        """Leave nothing of it behind."""
        with suppress(OSError):
            self._pipe.close()
        self.process.kill()
        with self.process:
            pass

    def __enter__(self) -> "Agent":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


Start = Callable[..., Agent]
