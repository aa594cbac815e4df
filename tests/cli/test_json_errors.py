"""With --json, what a command says on the standard error output is JSON as well: one object a line."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

import crudjt
from tests.cli.shell import UNKNOWN, Command, Shell


def said(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def error_of(text: str) -> dict[str, Any]:
    [document] = said(text)
    assert document.keys() == {"error"}
    error: dict[str, Any] = document["error"]
    return error


@pytest.mark.parametrize(
    ("arguments", "code", "kind", "text"),
    [
        (("--json", "read", UNKNOWN), 1, "NoSuchSession", "no such session: this token is unknown"),
        (("create", "{}", "--max-reads", "0", "--json"), 2, "InvalidParameter", "--max-reads must be from 1 to"),
        (("read", "--json"), 2, "UsageError", "Missing argument 'TOKEN'."),
        (("read", "--jsno", "--json"), 2, "UsageError", "No such option '--jsno'."),
        (("--jsno", "--json", "stats"), 2, "UsageError", "No such option '--jsno'."),
        (("--json", "reed"), 2, "UsageError", "No such command 'reed'."),
        (("--json",), 2, "UsageError", "Missing command."),
        (("--json", "create", "[" * 100_000), 2, "InvalidParameter", "data is nested too deeply"),
        (("--json", "--store", "mysql:", "stats"), 2, "InvalidParameter", "location begins with mysql:"),
    ],
)
def test_an_error_is_one_object_with_its_kind_and_its_text(
    command: Command, live: crudjt.Store, arguments: tuple[str, ...], code: int, kind: str, text: str
) -> None:
    result = command(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    error = error_of(result.stderr)
    assert error["type"] == kind
    assert error["message"].startswith(text)


def test_what_is_not_utf_8_is_in_the_json_with_escapes(command: Command, live: crudjt.Store, tmp_path: Path) -> None:
    """A path, or an argument that the audit log has as it was given."""
    odd = str(tmp_path / os.fsdecode(b"M\xfcnchen"))
    error = error_of(command("--json", "--secret-key-file", odd, "stats").stderr)
    assert odd in error["message"]
    assert json.loads(command("--json", "backup", odd).stdout) == {"backup": odd}
    audited = tmp_path / "audit"
    assert command("--audit-file", str(audited), "revoke", odd).exit_code == 2
    assert json.loads(audited.read_text())["subject"] == odd


def test_an_error_has_its_fields(command: Command, live: crudjt.Store) -> None:
    token = live.create({})
    conflict = error_of(command("update", token, "{}", "--if-version", "5", "--json").stderr)
    assert (conflict["type"], conflict["expected"], conflict["actual"]) == ("VersionConflict", 5, 1)
    bad = error_of(command("--json", "create", "{}", "--max-reads", "0").stderr)
    assert bad.keys() == {"type", "message", "parameter"}
    too_large = error_of(command("--json", "create", json.dumps({"a": "x" * 70_000})).stderr)
    assert (too_large["type"], too_large["limit"]) == ("DataTooLarge", 65_536)


def test_an_error_of_the_store_names_the_place(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = command("--json", "--store", str(tmp_path / "file"), "stats")
    assert result.exit_code == 3
    assert error_of(result.stderr)["type"] == "StoreInaccessible"
    assert error_of(result.stderr)["path"] == str(tmp_path / "file")


@pytest.mark.parametrize("arguments", [("--json", "TOKEN"), ("--TOKEN", "--json", "stats"), ("read", "a", "TOKEN")])
def test_an_error_in_json_repeats_no_token(command: Command, live: crudjt.Store, arguments: tuple[str, ...]) -> None:
    token = live.create({})
    result = command("--json", *(each.replace("TOKEN", token) for each in arguments))
    assert result.exit_code == 2
    assert token.lstrip("-") not in result.stderr
    assert error_of(result.stderr)["type"] == "UsageError"


def test_what_a_command_makes_is_said_in_json(shell: Shell) -> None:
    result = shell("--json", "create", "{}")
    assert result.returncode == 0
    assert [[*each] for each in said(result.stderr)] == [["notice"]] * 3
    assert said(result.stderr)[-1] == {"notice": f"Made a new store: {shell.home / 'data'}"}


def test_warnings_are_in_json_too(
    command: Command, live: crudjt.Store, path: Path, tmp_path: Path, secret_key: str
) -> None:
    key = tmp_path / "shared.key"
    key.write_text(secret_key)
    key.chmod(0o644)
    [document] = said(command("--json", "--secret-key-file", str(key), "stats").stderr)
    assert document.keys() == {"warning"}
    assert str(key) in document["warning"]


def test_what_the_library_logs_is_a_warning_of_the_command(
    command: Command, live: crudjt.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def log(_store: crudjt.Store, **_options: object) -> int:
        logging.getLogger("crudjt").warning("a compaction is postponed")
        return 0

    monkeypatch.setattr(type(live), "sweep", log)
    assert command("sweep").stderr == "Warning: a compaction is postponed\n"
    assert said(command("sweep", "--json").stderr) == [{"warning": "a compaction is postponed"}]


@pytest.mark.slow
def test_a_wrong_key_is_told_once(shell: Shell) -> None:
    """Not by the library, and once more by the command."""
    assert shell("create", "{}").returncode == 0
    shell.environment["CRUDJT_SECRET_KEY"] = crudjt.generate_secret_key()
    refused = shell("read", UNKNOWN)
    assert (refused.returncode, refused.stderr.count("\n")) == (3, 1)
    assert refused.stderr.startswith("Error: ")
    warned = shell("stats")
    assert (warned.returncode, warned.stderr.count("\n")) == (0, 1)
    assert warned.stderr.startswith("Warning: ")
    announced = shell("--new-key", "create", "{}")
    assert (announced.returncode, announced.stderr) == (0, "")
