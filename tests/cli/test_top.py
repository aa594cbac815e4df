"""`top` on a terminal: it fits, has colours, and ends with q."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from datetime import datetime, timezone

import pytest

import crudjt
from crudjt.cli.top_screen import screen
from tests.cli.shell import Shell
from tests.cli.terminal import Terminal

_COLUMNS, _LINES = 80, 24
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_COUNTERS: dict[str, int | datetime | None] = {
    "sessions": 10**9,
    "log_bytes": 2**40,
    "view_bytes": 1,
    "synced_at": datetime.now(timezone.utc),
    "replicas": None,
}
_RATES = {"begun": 12_345.6, "rotated": 12_345.6, "changed": 99_999.9, "ended": 12_345.6, "expired": None}


@pytest.mark.slow
def test_top_fits_into_a_terminal_and_ends_with_q(shell: Shell, secret_key: str) -> None:
    with crudjt.open(shell.home / "data", secret_key=secret_key) as store:
        store.create_many([{}] * 40, subject="a user with a long name")
    terminal = Terminal()
    try:
        fcntl.ioctl(terminal.writing, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
        before = termios.tcgetattr(terminal.writing)
        with subprocess.Popen(
            [sys.executable, "-m", "crudjt", "top", "--interval", "0.2"],
            env={**shell.environment, "TERM": "xterm", "CRUDJT_SECRET_KEY": secret_key},
            stdin=terminal.writing,
            stdout=terminal.writing,
            stderr=terminal.writing,
        ) as process:
            terminal.wait_for("q quits(.|\n)*q quits")
            os.write(terminal.reading, b"q")
            assert process.wait(60) == 0
        assert termios.tcgetattr(terminal.writing) == before
    finally:
        terminal.close()
    lines = _CONTROL.sub("", terminal.text.split("q quits")[0]).split("\r\n")
    assert len(lines) == _LINES - 1  # the cursor is in the last one
    assert max(map(len, lines)) <= _COLUMNS
    assert "\x1b[1m" in terminal.text


def test_what_top_draws_fits_into_80_columns() -> None:
    lines = screen("/srv/" + "x" * 200, _COUNTERS, _RATES, [], live=False).splitlines()
    assert max(map(len, lines)) <= _COLUMNS


def test_top_draws_no_colours_where_the_user_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1m" not in screen("/srv/x", _COUNTERS, _RATES, [], live=True)
