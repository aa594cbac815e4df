"""`crudjt move`: what it prints and refuses. How sessions move is tested in tests/moving."""

import json
from pathlib import Path

import pytest

import crudjt
from crudjt._backends.embedded.move_source import EmbeddedSource
from tests.cli.shell import Command
from tests.support.valkey_stores import ServerPool, namespace

REPLICAS = ("--replicas", "0")  # one server has none


@pytest.fixture
def url(servers: ServerPool, path: Path) -> str:
    return servers.single("valkey").url(namespace(path))


@pytest.mark.slow
def test_sessions_are_moved_and_found_by_their_tokens(command: Command, url: str) -> None:
    tokens = [command("create", '{"n": 1}', "--subject", "anna").stdout.strip() for _ in range(3)]
    result = command(*REPLICAS, "move", "--to", url)
    assert (result.exit_code, result.stdout) == (0, "moved 3 sessions, and finished\n")
    assert "no replica has the sessions" in result.stderr
    for token in tokens:
        assert command(*REPLICAS, "--store", url, "read", token).stdout == '{"n":1}\n'
        assert command(*REPLICAS, "--moving-to", url, "read", token).stdout == '{"n":1}\n'
        refused = command("read", token)
        assert refused.exit_code == 3
        assert "moving_to" in refused.stderr


@pytest.mark.slow
def test_the_command_may_be_given_again(command: Command, url: str) -> None:
    command("create", "{}")
    for moved in (1, 0):
        result = command("--json", *REPLICAS, "move", "--to", url)
        assert result.exit_code == 0
        assert json.loads(result.stdout) == {"moved": moved, "left": [], "finished": True}


@pytest.mark.slow
def test_a_dry_run_changes_nothing(command: Command, url: str) -> None:
    token = command("create", "{}").stdout.strip()
    result = command(*REPLICAS, "move", "--to", url, "--dry-run")
    assert result.exit_code == 0
    assert result.stdout == f"the move would begin: 1 session to {url}, which would be made\n"
    assert command("read", token).exit_code == 0
    assert command(*REPLICAS, "--store", url, "stats").exit_code == 3
    command(*REPLICAS, "move", "--to", url)
    again = command("--json", *REPLICAS, "move", "--to", url, "--dry-run")
    assert json.loads(again.stdout) == {"would_move": 0, "left": [], "begun": True}


@pytest.mark.slow
def test_sessions_that_cannot_move_are_named(command: Command, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command("create", "{}", "--subject", "anna")
    monkeypatch.setattr(EmbeddedSource, "is_placed", lambda *_: False)
    result = command("--json", *REPLICAS, "move", "--to", url)
    found = json.loads(result.stdout)
    (handle,) = found["left"]
    assert (result.exit_code, found["moved"], found["finished"]) == (1, 0, False)
    assert f"session {handle} cannot move" in result.stderr
    assert command(*REPLICAS, "--store", url, "stats").exit_code == 3
    assert command(*REPLICAS, "move", "--to", url, "--leave").exit_code == 0
    assert command(*REPLICAS, "--store", url, "stats").exit_code == 0


@pytest.mark.slow
def test_servers_without_replicas_have_to_be_meant(command: Command, url: str) -> None:
    command("create", "{}")
    result = command("move", "--to", url)
    assert result.exit_code == 3
    assert "replicas=0" in result.stderr


@pytest.mark.slow
def test_another_store_at_the_destination_is_refused(command: Command, url: str) -> None:
    crudjt.open(url, secret_key=crudjt.generate_secret_key(), replicas=0).close()
    command("create", "{}")
    for more in ((), ("--dry-run",)):
        result = command(*REPLICAS, "move", "--to", url, *more)
        assert result.exit_code == 3
        assert "another namespace" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--store", "valkey://localhost/b", "move", "--to", "valkey://localhost/b"), "the store itself"),
        (("--store", "grpc://localhost", "move", "--to", "valkey://localhost/b"), "--store is a server"),
        (("move", "--to", "grpc://localhost"), "--to is a server"),
        (("move", "--to", "nothing://localhost"), "not a known scheme"),
        (("move",), "--to"),
    ],
)
def test_bad_places_are_refused_with_the_remedy(command: Command, arguments: tuple[str, ...], text: str) -> None:
    command("create", "{}")
    result = command(*arguments)
    assert result.exit_code == 2
    assert text in result.stderr


def test_a_directory_without_a_store_is_refused(command: Command, path: Path) -> None:
    result = command("move", "--to", "valkey://localhost/a")
    assert result.exit_code == 3
    assert "no store here" in result.stderr
    assert not path.exists()
