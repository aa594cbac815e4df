"""The fault harness in its short form: every scenario breaks what it can for some seconds, and the harness can see."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.__main__ import ON_DISK, SCENARIOS
from tests.faults.tally import Violation

ROOT = Path(__file__).parents[2]
ROUNDS = {
    "crash-states": 1,
    "power": 3,
    "kills": 1,
    "forks": 2,
    "users": 1,
    "replaced-files": 2,
    "io-errors": 1,
    "strace": 1,
    "histories": 3,
    "interleavings": 2,
    "damage": 3,
    "cluster": 1,
    "move": 1,
    "lost-replies": 1,
    "servers": 2,
}

pytestmark = pytest.mark.slow


def harness(*arguments: str) -> str:
    """Run the command in a process of its own, which may fork; return what it prints."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.faults", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    "scenario", [pytest.param(name, marks=pytest.mark.root if name in ON_DISK else ()) for name in SCENARIOS]
)
def test_no_promise_is_broken(scenario: str, tmp_path: Path) -> None:
    printed = harness(
        "--only",
        scenario,
        "--seed",
        "1",
        "--minutes",
        "0",
        "--rounds",
        str(ROUNDS[scenario]),
        "--report",
        str(tmp_path),
    )
    if f"{scenario}: skipped: " in printed:
        pytest.skip(printed.partition("skipped: ")[2].splitlines()[0])
    [row] = [line.split() for line in printed.splitlines() if line.startswith(f"{scenario} ")]
    assert float(row[2]) > 0
    assert row[-1] == "0"
    assert list(tmp_path.iterdir()) == []


def test_every_guard_is_needed() -> None:
    """Some deliberate defects, each of which is caught at once; all of them: ``python -m tests.faults --mutants``."""
    printed = harness("--mutants", "--quick", "--seed", "1")
    assert "MISSED" not in printed
    assert printed.count("caught  ") >= 8


def test_the_history_of_a_violation_holds_no_token(tmp_path: Path) -> None:
    token = "A" * 22
    file = tmp_path / "violation.json"
    Violation("a promise", [("read", {"token": token, token: 1}), token, b"bytes"]).write(file, seed=7)
    assert token not in file.read_text()
    written = json.loads(file.read_text())
    assert (written["promise"], written["seed"]) == ("a promise", 7)
    assert written["history"][1].startswith("#")
    assert written["history"][0][1]["token"] == written["history"][1]
