"""Where the store of a command is: a directory, or a server."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import crudjt
from crudjt.server import Server
from crudjt.server.services import store as store_service
from tests.cli.shell import STORE_COMMANDS, UNKNOWN, Command, Shell


@pytest.fixture
def url(live: crudjt.Store, tmp_path: Path) -> Iterator[str]:
    """Serve the store that the command would use, so that what it does can be seen there."""
    server = Server(live, [f"unix:{tmp_path}/socket"], services={store_service.NAME: store_service.METHODS})
    server.start()
    yield f"unix://{tmp_path}/socket"
    server.stop(0)


@pytest.mark.parametrize("arguments", STORE_COMMANDS, ids=lambda arguments: arguments[0])
def test_every_command_asks_the_server_of_a_url(
    command: Command, url: str, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]
) -> None:
    """As it would the directory, which it needs as little as the key."""
    expected = command(*arguments)
    monkeypatch.setenv("CRUDJT_STORE", "/nowhere")
    monkeypatch.delenv("CRUDJT_SECRET_KEY")
    result = command("--store", url, *arguments)
    assert (result.exit_code, result.stderr) == (expected.exit_code, expected.stderr)


def test_what_a_command_does_on_a_server_is_done_there(
    command: Command, live: crudjt.Store, url: str, tmp_path: Path
) -> None:
    token = command("--store", url, "create", '{"a": 1}', "--ttl", "60", "--subject", "alice").stdout.strip()
    session = live.peek(token)
    assert session is not None
    assert (session.data, session.subject) == ({"a": 1}, "alice")
    assert json.loads(command("--store", url, "read", token).stdout) == {"a": 1}
    assert command("--store", url, "backup", str(tmp_path / "copy")).exit_code == 0
    assert (tmp_path / "copy").is_dir()


def test_a_server_that_does_not_answer_is_a_failure_of_the_store(command: Command, tmp_path: Path) -> None:
    result = command("--store", f"unix://{tmp_path}/nobody", "read", UNKNOWN)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "nobody" in result.stderr


def test_the_access_token_comes_from_its_file(command: Command, live: crudjt.Store, tmp_path: Path) -> None:
    (tmp_path / "right").write_text("hunter2" * 8 + "\n")
    (tmp_path / "wrong").write_text("hunter3" * 8 + "\n")
    services = {store_service.NAME: store_service.METHODS}
    server = Server(live, [f"unix:{tmp_path}/socket"], services=services, access_tokens=["hunter2" * 8])
    server.start()
    try:
        for file, exit_code in (("right", 0), ("wrong", 3), ("missing", 2)):
            result = command("--store", f"unix:{tmp_path}/socket", "--access-token-file", str(tmp_path / file), "stats")
            assert result.exit_code == exit_code
            assert "hunter" not in result.output
    finally:
        server.stop(0)


def test_another_host_is_connected_to_without_tls_where_it_is_allowed(command: Command) -> None:
    """The name does not exist (RFC 6761), so no host is asked."""
    refused, tried = (command("--store", "grpc://host.invalid", *flag, "stats") for flag in ([], ["--allow-plaintext"]))
    assert (refused.exit_code, tried.exit_code) == (2, 3)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--store", "unix:///socket", "keygen"),
        ("--store", "unix:///socket", "doctor"),
        ("--url", "unix:///socket", "--store", "store", "stats"),
        ("--url", "unix:///socket", "--path", "store", "stats"),
        ("--store", "unix:/socket", "serve"),
        ("--store", "mysql://host", "stats"),
        ("--store", "unix:socket", "stats"),
        ("--store", "data", "health"),
        ("--store", "unix:///socket", "--secret-key-file", "key", "stats"),
        ("--url", "/a/directory", "stats"),
        ("--url", "http://host", "stats"),
        ("--url", "", "stats"),
        ("--url", "grpc://", "stats"),
        ("--url", "unix:///socket", "--tls-ca", "file", "stats"),
        ("--access-token-file", "file", "stats"),
        ("--store", "grpc://192.0.2.1", "stats"),
        ("--allow-plaintext", "stats"),
        ("--tls-ca", "file", "stats"),
        ("--tls-cert", "file", "stats"),
        ("--tls-key", "file", "stats"),
    ],
    ids=" ".join,
)
def test_options_that_contradict_each_other_are_bad_input(
    command: Command, path: Path, arguments: Sequence[str]
) -> None:
    result = command(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert not path.exists()


@pytest.mark.parametrize("location", ["mysql://host", "unix:socket", "grpc://host/path", "~nobody-here/x"])
def test_a_location_that_cannot_be_meant_makes_neither_a_store_nor_a_key(shell: Shell, location: str) -> None:
    before = sorted(shell.home.rglob("*"))
    assert shell("--store", location, "create", "{}").returncode == 2
    shell.environment["CRUDJT_STORE"] = location
    assert shell("create", "{}").returncode == 2
    assert sorted(shell.home.rglob("*")) == before


@pytest.mark.parametrize("name", ["init", "doctor", "stats"])
def test_every_command_names_an_unknown_scheme(command: Command, name: str) -> None:
    result = command("--store", "mysql://host", name)
    assert result.exit_code == 2
    assert "begins with mysql:, which is not a known scheme" in result.stderr


def test_the_older_spellings_name_the_same_store(
    command: Command, live: crudjt.Store, url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = live.create({"a": 1})
    monkeypatch.setenv("CRUDJT_STORE", "/nowhere")
    for spelling in (("--path", str(path)), ("--url", url), ("--store", str(path)), ("--store", url)):
        assert command(*spelling, "peek", token).stdout == '{"a":1}\n'
    monkeypatch.delenv("CRUDJT_STORE")
    monkeypatch.setenv("CRUDJT_PATH", str(path))
    assert command("peek", token).stdout == '{"a":1}\n'
