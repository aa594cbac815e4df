"""What a command that fails says, and the code with which it exits."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.store import EmbeddedStore
from tests.cli.shell import HANDLE, STORE_COMMANDS, TOKEN_COMMANDS, UNKNOWN, Command, Shell


@pytest.mark.parametrize("arguments", TOKEN_COMMANDS, ids=lambda arguments: arguments[0])
@pytest.mark.parametrize("token", [UNKNOWN, "-" + UNKNOWN[1:], "--" + UNKNOWN[2:], "short", "é" * 22, ""])
@pytest.mark.parametrize("option", [(), ("--json",)], ids=["text", "json"])
def test_a_missing_token_exits_1_with_a_message_that_does_not_repeat_it(
    command: Command, live: crudjt.Store, arguments: tuple[str, ...], token: str, option: tuple[str, ...]
) -> None:
    name, *rest = arguments
    result = command(*option, name, token, *rest)
    assert (result.exit_code, result.stdout) == (1, "")
    text = "no such session: this token is unknown, or its session has ended"
    assert result.stderr == f"Error: {text}\n" if not option else text in json.loads(result.stderr)["error"]["message"]


def test_a_missing_handle_exits_1(command: Command, live: crudjt.Store) -> None:
    result = command("revoke-id", HANDLE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: no such session: this handle is unknown, or its session has ended\n"


def test_a_token_that_begins_with_a_hyphen_is_a_token(command: Command, live: crudjt.Store) -> None:
    """One in 64 does, and among 3000 one surely."""
    token = next(each for each in live.create_many([{}] * 3000, subject="alice") if each.startswith("-"))
    assert command("peek", token).exit_code == 0
    assert command("update", token, '{"a": 1}', "--ttl", "1h").exit_code == 0
    assert command("touch", "--ttl", "2h", token).exit_code == 0
    assert command("read", token).stdout == '{"a":1}\n'
    assert command("revoke", "alice", "--keep", token).stdout == "2999\n"
    assert command("rotate", token).exit_code == 0
    assert command("delete", token).exit_code == 1


@pytest.mark.parametrize("name", ["show", "end", "revoke-id"])
def test_a_token_is_no_handle(command: Command, live: crudjt.Store, name: str) -> None:
    """Also where it begins with a hyphen: the remedy is a handle, and no other option."""
    for token in (UNKNOWN, "-".ljust(22, "A"), "-h".ljust(22, "A")):
        result = command(name, token)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("Error: id must be 32 hexadecimal digits")
    assert "No such option '--bad'" in command(name, "--bad", HANDLE).stderr


@pytest.mark.parametrize("beginning", ["-h", "--h", "--help"])
def test_a_token_that_begins_as_an_option_does_is_a_token(command: Command, live: crudjt.Store, beginning: str) -> None:
    unknown = beginning.ljust(22, "A")
    for arguments in (("peek", unknown), ("update", unknown, "{}"), ("delete", "--json", unknown)):
        result = command(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "no such session" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("create",), "JSON"),
        (("create", ""), "JSON"),
        (("create", "{"), "JSON"),
        (("create", "{'a': 1}"), "JSON"),
        (("create", '{"a": NaN}'), "JSON"),
        (("create", '{"a": 1} {}'), "JSON"),
        (("create", '{"a": "\udc80"}'), "JSON"),
        (("create", "[" * 5000 + "]" * 5000), "nested"),
        (("create", '{"a": {"$bytes": "?"}}'), "$bytes"),
        (("create", '{"a": {"$bytes": 5}}'), "$bytes"),
        (("create", '{"a": {"$timestamp": "2026-01-31T12:00:00"}}'), "$timestamp"),
        (("create", '{"a": {"$float": []}}'), "$float"),
        (("create", '{"a": {"$ext": [1000, ""]}}'), "$ext"),
        (("create", '{"$map": {"ab": 1}}'), "$map"),
        (("create", '{"$map": [[{}, 1]]}'), "$map"),
        (("create", "[]"), "data"),
        (("create", "42"), "data"),
        (("create", '{"a": 99999999999999999999}'), "data"),
        (("create", json.dumps({"a": "x" * 70_000})), "data"),
        (("create", "{}", "--ttl", "0"), "ttl"),
        (("create", "{}", "--ttl", "-5"), "--ttl"),
        (("create", "{}", "--ttl", "soon"), "--ttl"),
        (("create", "{}", "--ttl", "1e3"), "--ttl"),
        (("create", "{}", "--ttl", "5 m"), "--ttl"),
        (("create", "{}", "--ttl", "99999d" * 2), "--ttl"),
        (("create", "{}", "--ttl", "9999999d"), "ttl"),
        (("create", "{}", "--ttl"), "--ttl"),
        (("create", "{}", "--idle", "1w"), "--idle"),
        (("create", "{}", "--max-reads", "0"), "--max-reads"),
        (("create", "{}", "--max-reads", "1.5"), "--max-reads"),
        (("create", "{}", "--max-reads", "-1"), "--max-reads"),
        (("create", "{}", "--subject", ""), "subject"),
        (("create", "{}", "--sujbect", "alice"), "--sujbect"),
        (("create", "{}", "{}"), "extra"),
        (("update", UNKNOWN, "["), "JSON"),
        (("update", UNKNOWN, "{}", "--if-version", "0"), "--if-version"),
        (("update", UNKNOWN, "{}", "--if-version", "none"), "--if-version"),
        (("update", UNKNOWN, "{}", "--max-reads", "many"), "--max-reads"),
        (("update", UNKNOWN), "JSON"),
        (("read",), "TOKEN"),
        (("read", "--jsno"), "--jsno"),
        (("read", "--jsno", UNKNOWN), "--jsno"),
        (("touch", "--tll=5", UNKNOWN), "--tll"),
        (("touch", UNKNOWN, "--tll", "5"), "--tll"),
        (("revoke-id", "x"), "id"),
        (("sessions", ""), "subject"),
        (("revoke", "a" * 1025), "subject"),
        (("backup", ""), "PATH"),
        (("--store", "", "stats"), "--store"),
        (("--secret-key-file", "", "stats"), "--secret-key-file"),
        (("reed", UNKNOWN), "reed"),
        (("--no-such-option", "stats"), "--no-such-option"),
    ],
)
def test_bad_input_exits_2_with_a_message_that_names_the_parameter(
    command: Command, live: crudjt.Store, arguments: Sequence[str], named: str
) -> None:
    result = command(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr
    assert "Traceback" not in result.stderr


def test_no_command_at_all_shows_the_help_and_exits_2(command: Command) -> None:
    result = command()
    assert result.exit_code == 2
    assert "Commands:" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("TOKEN",),
        ("TOKEN", "read"),
        ("read", "TOKEN", "TOKEN"),
        ("reed", "TOKEN"),
        ("read", "--jsno", "TOKEN"),
        ("read", "--TOKEN"),
        ("update", "TOKEN", "TOKEN"),
        ("update", "TOKEN", "{}", "--ttl", "TOKEN"),
        ("update", "TOKEN", "{}", "--if-version", "TOKEN"),
        ("create", "TOKEN"),
        ("create", '{"token": "TOKEN"'),
        ("create", "{}", "--max-reads", "TOKEN"),
        ("create", "{}", "--TOKEN"),
        ("revoke-id", "TOKEN"),
        ("sessions", "alice", "TOKEN"),
        ("stats", "TOKEN"),
        ("--json=TOKEN", "stats"),
    ],
)
def test_no_error_repeats_a_token(command: Command, live: crudjt.Store, arguments: Sequence[str]) -> None:
    token = live.create({})
    for given in (token, f"-{token[1:]}"):
        result = command(*(each.replace("TOKEN", given) for each in arguments))
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr
        assert given[1:].lstrip("-") not in result.stderr


@pytest.mark.parametrize("arguments", STORE_COMMANDS, ids=lambda arguments: arguments[0])
def test_a_store_that_cannot_be_opened_exits_3(command: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    result = command("--store", str(tmp_path / "file"), *arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == f"Error: {tmp_path / 'file'}: is a file, or lies in one; a store is a directory\n"


@pytest.mark.parametrize("arguments", [("backup", "copy"), ("doctor",), ("doctor", "--repair")], ids=" ".join)
def test_a_path_that_is_a_file_exits_3(command: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    result = command("--store", str(tmp_path / "file"), *arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    assert str(tmp_path / "file") in result.stderr


def test_a_damaged_store_exits_3_and_points_to_doctor(shell: Shell) -> None:
    data = shell.home / "data"
    secret_key = crudjt.generate_secret_key()
    shell.environment["CRUDJT_SECRET_KEY"] = secret_key
    with crudjt.open(data, secret_key=secret_key) as store:
        token = store.create({})
    (data / "manifest").write_bytes(b"nothing of the kind")
    result = shell("read", token)
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith("Error: ")
    assert "crudjt doctor" in result.stderr
    assert "Traceback" not in result.stderr


def test_output_that_cannot_be_written_exits_3_without_a_trace(shell: Shell) -> None:
    with Path("/dev/full").open("w") as full, shell.start("keygen", stdout=full.fileno()) as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "Traceback" not in stderr


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(shell: Shell) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with shell.start("keygen", stdout=writing) as process:
        os.close(writing)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (141, "")


def test_an_interrupted_command_exits_130(
    command: Command, live: crudjt.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not 1, which a script would take for a missing session."""

    def interrupt(_store: crudjt.Store) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EmbeddedStore, "stats", interrupt)
    assert command("stats").exit_code == 130
