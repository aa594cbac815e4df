"""Follows a tutorial: writes its files, runs its commands and servers, and compares what commands print."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port, listening
from tests.support.processes import PATIENCE, eventually
from tests.support.project import ROOT

PORT = "8000"
SERVERS = ("gunicorn ", "uvicorn ", "litestar ", "python manage.py runserver")
INSTALLS = ("python3 -m venv ", ". .venv/", "pip install ")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DONE = "-- done:"


class Shell:
    """One shell for a whole tutorial, so that what is exported and where it has gone stays."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=directory,
            env={"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin", "HOME": str(directory)}
            | {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str) -> str:
        """Run a command and return what it prints; it must end with status 0."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\necho; echo '{_DONE}' $?\n")
        self._process.stdin.flush()
        lines: list[str] = []
        while not (line := self._process.stdout.readline()).startswith(_DONE):
            assert line, f"the shell has ended in: {command}"
            lines.append(line)
        output = "".join(lines)[:-1]
        assert line == f"{_DONE} 0\n", f"{command}: {line}{output}"
        return output

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def shell(directory: Path) -> Iterator[Shell]:
    opened = Shell(directory)
    try:
        yield opened
    finally:
        opened.run("kill $(jobs -p) 2>/dev/null; wait")
        opened.close()


def follow(page: str, directory: Path, *, installs: bool = False) -> int:
    """Do what a page says, in its order; return how many commands printed what it says.

    Args:
        page: the name of the page in the project.
        directory: an empty directory.
        installs: whether to install packages, this project from its checkout; else they are there.

    """
    port = free_port()
    text = (ROOT / page).read_text().replace(f":{PORT}", f":{port}").replace(f"--port {PORT}", f"--port {port}")
    compared = 0
    with shell(directory) as opened:
        for language, block in _BLOCK.findall(text):
            if language == "python":
                name, _, _ = block.removeprefix("# ").partition("\n")
                place = Path(opened.run("pwd").strip(), name)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(block)
            elif language == "sh" and block.startswith(SERVERS):
                opened.run(f"{block.strip()} >server.log 2>&1 &")
                assert eventually(lambda: listening(port), PATIENCE), opened.run("cat server.log")
            elif language == "sh":
                for line in [block] if "<<" in block else block.splitlines():
                    if installs or not line.startswith(INSTALLS):
                        opened.run(re.sub(r"'crudjt-store(\[\w+\])?'", rf"'{ROOT}\1'", line))
            else:
                compared += _compare(opened, block)
    return compared


def _compare(opened: Shell, block: str) -> int:
    compared = 0
    for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, expected = entry.partition("\n")
        printed = opened.run(command)
        pattern = ".*".join(map(re.escape, expected.strip().split("…")))
        assert re.fullmatch(pattern, printed.strip()), f"{command}\nprinted: {printed}expected: {expected}"
        compared += bool(expected)
    return compared
