"""The operating guide: its commands run, in their order, and print what it says."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import crudjt
from tests.support.documents import blocks
from tests.support.project import ROOT

GUIDE = (ROOT / "docs" / "operations.md").read_text()
PLACES = ("/var/lib/app", "/etc/app", "/var/backups/app")
SECONDS = 60


def script(text: str) -> list[tuple[str, str]]:
    """Return the commands of a block, each with what the guide says that it prints."""
    return [(command, printed) for command, printed in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)]


@pytest.mark.slow
def test_every_command_of_the_guide_does_what_it_says(tmp_path: Path) -> None:
    """`systemctl` does nothing here; the application is this test, which has closed the store."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, line in (
        ("crudjt", f'exec {shlex.join([sys.executable, "-m", "crudjt"])} "$@"'),
        ("systemctl", "exit 0"),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    for place in PLACES:
        (tmp_path / place[1:]).mkdir(parents=True)
    key = crudjt.generate_secret_key()
    key_file = tmp_path / "etc" / "app" / "secret_key"
    key_file.write_text(key + "\n")
    key_file.chmod(0o600)
    with crudjt.open(tmp_path / "var" / "lib" / "app" / "sessions", secret_key=key) as store:
        token = store.create({}, subject="alice", ttl=3600)
        store.create({}, subject="alice", ttl=3600)
        store.create({}, subject="bob", ttl=3600)
    lines, expected = [f"token={token}"], []
    for number, (command, printed) in enumerate(each for block in blocks(GUIDE, "console") for each in script(block)):
        lines += [f"echo '[{number}]'", command]
        expected.append(f"[{number}]\n{printed}")
    text = "\n".join(lines)
    for place in PLACES:
        text = text.replace(place, f"{tmp_path}{place}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        env={
            "PATH": f"{programs}:{os.defpath}",
            "HOME": str(tmp_path),
            "PYTHONPATH": str(Path(crudjt.__file__).parents[1]),
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "".join(expected)
    uses = (tmp_path / "var" / "backups" / "app" / "keys").read_text().splitlines()
    assert [use.split("\t")[1] for use in uses] == ["2", "0"]


def test_the_guide_names_files_that_exist() -> None:
    assert {path for path in re.findall(r"deploy/[\w./-]*\w", GUIDE) if not list(ROOT.glob(f"{path}*"))} == set()
