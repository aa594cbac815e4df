"""Tokens and JSON from standard input."""

from collections.abc import Sequence

import pytest

import crudjt
from tests.cli.shell import TOKEN_COMMANDS, Command, Shell


@pytest.mark.slow
def test_a_hyphen_takes_a_token_or_json_from_standard_input(shell: Shell) -> None:
    """Where the list of processes shows neither."""
    token = shell("create", "-", stdin='{"user_id":\n42}\n').stdout.strip()
    assert shell("read", "-", stdin=token).stdout == '{"user_id":42}\n'
    assert shell("update", token, "-", stdin='{"a": 1}').returncode == 0
    assert shell("update", "-", '{"a": 2}', stdin=f"{token}\n").returncode == 0
    assert shell("update", "-", "-", stdin=f'{token}\n{{"a": 3}}\n').returncode == 0
    assert shell("peek", "-", stdin=f" {token} \r\n").stdout == '{"a":3}\n'


@pytest.mark.parametrize(
    "arguments", [*((name, "-", *rest) for name, *rest in TOKEN_COMMANDS), ("revoke", "alice", "--keep", "-")]
)
def test_every_token_may_come_from_standard_input(
    command: Command, live: crudjt.Store, arguments: Sequence[str]
) -> None:
    token = live.create({}, subject="alice")
    assert command(*arguments, stdin=f"{token}\n").exit_code == 0
    assert (live.peek(token) is None) is (arguments[0] in {"rotate", "delete"})


@pytest.mark.parametrize("stdin", ["", "\n", " \n"])
@pytest.mark.parametrize("arguments", [("read", "-"), ("create", "-"), ("revoke", "alice", "--keep", "-")])
def test_an_empty_standard_input_is_bad_input(command: Command, arguments: Sequence[str], stdin: str) -> None:
    """Above all for `revoke`, which would spare no session."""
    result = command(*arguments, stdin=stdin)
    assert (result.exit_code, result.stdout) == (2, "")


def test_standard_input_that_is_no_text_is_no_token_and_no_json(command: Command, live: crudjt.Store) -> None:
    assert command("read", "-", stdin=b"\xff\xfe\n").exit_code == 1
    assert command("create", "-", stdin=b'{"a": "\xff"}').exit_code == 2
