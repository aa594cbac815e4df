"""The audit log of the shell command."""

import json
import logging
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt.cli.auditing import operator_at_the_terminal
from tests.cli.shell import HANDLE, Command
from tests.support.stores import read


def name_of_this_user() -> str:
    """Return its number where it has no name, as in containers."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def test_each_command_on_a_store_is_recorded_with_its_result(
    command: Command, live: crudjt.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whom, on which handle or subject, and never with a token or data."""
    monkeypatch.setenv("CRUDJT_AUDIT_FILE", str(tmp_path / "audit"))
    monkeypatch.delenv("SUDO_USER", raising=False)
    token = live.create({"secret": 1}, subject="alice")
    handle = read(live, token).id
    for arguments in (
        ("read", token), ("list", "--subject", "alice"), ("end", handle), ("end", HANDLE), ("revoke", "alice"),
        ("end", token), ("keygen",), ("create", "{", "--subject", "bob"),
    ):  # fmt: skip
        command(*arguments)
    text = (tmp_path / "audit").read_text()
    assert token not in text
    assert "secret" not in text
    records = [json.loads(line) for line in text.splitlines()]
    assert {record.pop("operator") for record in records} == {f"{name_of_this_user()} at the terminal"}
    assert all(record.pop("time").endswith("Z") for record in records)
    assert records == [
        {"action": "crudjt read", "result": "done"},
        {"action": "crudjt list", "result": "done", "subject": "alice"},
        {"action": "crudjt end", "result": "done", "handle": handle},
        {"action": "crudjt end", "result": "missing", "handle": HANDLE},
        {"action": "crudjt revoke", "result": "done", "subject": "alice"},
        {"action": "crudjt end", "result": "InvalidParameter"},
    ]
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o600


def test_a_time_on_the_second_has_a_fraction_as_any_other(
    command: Command, live: crudjt.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_the_second(*arguments: Any, **keywords: Any) -> logging.LogRecord:
        record = logging.LogRecord(*arguments, **keywords)
        record.created = 4_000_000_000.0
        return record

    monkeypatch.setattr(logging, "_logRecordFactory", on_the_second)
    command("--audit-file", str(tmp_path / "audit"), "revoke", "alice")
    assert json.loads((tmp_path / "audit").read_text())["time"] == "2096-10-02T07:06:40.000000Z"


def test_a_command_that_cannot_be_recorded_does_nothing(command: Command, live: crudjt.Store, tmp_path: Path) -> None:
    token = live.create({}, subject="alice")
    result = command("--audit-file", str(tmp_path / "missing" / "audit"), "revoke", "alice")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "the audit log cannot be written" in result.stderr
    assert live.read(token) is not None


def test_an_operator_has_the_name_of_the_user_or_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert operator_at_the_terminal() == f"{name_of_this_user()} at the terminal"
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 9)  # of no user, as in containers
    assert operator_at_the_terminal() == f"uid {2**31 - 9} at the terminal"
    monkeypatch.setenv("SUDO_USER", "ada")
    assert operator_at_the_terminal() == f"uid {2**31 - 9} at the terminal, by sudo of ada"
