"""The command as a process of its own, and arguments for it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

import crudjt

UNKNOWN = "AAAAAAAAAAAAAAAAAAAAAA"
HANDLE = "0" * 32
TOKEN = re.compile(r"[\w-]{22}", re.ASCII)
NEW_KEY = "Made a new secret key"

Command = Callable[..., Result]

TOKEN_COMMANDS = [("read",), ("peek",), ("update", "{}"), ("touch",), ("rotate",), ("delete",)]
STORE_COMMANDS = [
    ("create", "{}"),
    *((name, UNKNOWN, *rest) for name, *rest in TOKEN_COMMANDS),
    ("sessions", "alice"),
    ("revoke", "alice"),
    ("revoke-id", HANDLE),
    ("stats",),
    ("sweep",),
]


class Shell:
    """Runs the command as a process of its own, in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            "PATH": os.defpath,
            "HOME": str(home),
            "PYTHONPATH": str(Path(crudjt.__file__).parents[1]),
            "CRUDJT_STORE": str(home / "data"),
        }
        self.secret_key_file = home / ".config" / "crudjt" / "secret_key"

    def start(
        self, *arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
    ) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "crudjt", *arguments],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            text=True,
        )

    def __call__(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        with self.start(*arguments) as process:
            stdout, stderr = process.communicate(stdin, timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def own_key_file(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "some.key"
    path.write_text(text)
    path.chmod(mode)
    return path
