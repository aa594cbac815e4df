"""The Python that can import a peer: ours, or that of a virtual environment made for it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.catalogue import Peer

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Environment:
    """How a module of this package is run, from `ROOT`."""

    python: tuple[str, ...]
    variables: Mapping[str, str]

    def command(self, module: str, *arguments: str) -> list[str]:
        """Return the command that runs a module."""
        return [*self.python, "-m", module, *arguments]


OURS = Environment((sys.executable,), os.environ)


def prepare(peer: Peer, directory: Path) -> Environment:
    """Return the environment of a peer; it is made under `directory` unless it is there with the same requirements."""
    if not peer.requirements:
        return OURS
    venv = directory / peer.opens.rpartition(":")[0].rpartition(".")[2]
    python, stamp = venv / "bin" / "python", venv / "installed.txt"
    wanted = "\n".join(peer.requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {', '.join(peer.requirements)} into {venv}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        pip = [str(python), "-I", "-m", "pip", "install", "--quiet", *peer.requirements]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        stamp.write_text(wanted)
    # What the caller has put on the path, such as our sources, would hide what was installed there.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return Environment((str(python), "-s"), variables)
