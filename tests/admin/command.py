"""The command `crudjt admin` as a process."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import crudjt
from tests.support.waiting import PATIENCE

URL = re.compile(r"https?://[^\s/]+(?:/enter/[\w-]+)?")


class Command(NamedTuple):
    """A running command: its process, and what it has said so far, with the address of the page or the link."""

    process: "subprocess.Popen[str]"
    said: str
    url: str

    @property
    def base(self) -> str:
        return self.url.partition("/enter/")[0]

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End it by a signal; return its exit code and all that it has said."""
        self.process.send_signal(number)
        rest = self.process.communicate(timeout=PATIENCE)[1]
        return self.process.returncode, self.said + rest


@contextmanager
def admin(location: object, secret_key: str, *options: str, before: tuple[str, ...] = ()) -> Iterator[Command]:
    """Run the command beside a block, from the time on at which it has said where its page is."""
    arguments = [*before, "admin", "--store", str(location), "--listen", "127.0.0.1:0", *options]
    environment = {"PATH": os.defpath, "PYTHONPATH": str(Path(crudjt.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-m", "crudjt", *arguments],
        env={**environment, "CRUDJT_SECRET_KEY": secret_key},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said = _until_ready(process)
            found = URL.search(said)
            assert found, said
            yield Command(process, said, found[0])
        finally:
            process.kill()


def _until_ready(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    said, deadline = "", time.monotonic() + PATIENCE
    while "Ctrl-C" not in said:
        ready, _, _ = select.select([process.stderr], [], [], deadline - time.monotonic())
        part = os.read(process.stderr.fileno(), 4096).decode() if ready else ""
        assert part, f"it does not serve:\n{said}"
        said += part
    return said
