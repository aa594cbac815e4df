"""Texts of errors in words of the shell: options, and where they belong."""

import pytest

import crudjt
from tests.cli.shell import Command


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("create", "{}", "--stor", "x"), "No such option '--stor'"),
        (("show", "x"), "id must be 32 hexadecimal digits ('crudjt list' lists them)"),
        (("list", "--after", "x"), "--after must be 32 hexadecimal digits ('crudjt list' lists them)"),
        (("create", "{}", "--max-reads", "0"), "--max-reads must be from 1 to 9223372036854775807, not 0"),
        (
            ("create", "{}", "--ttl", "1w"),
            "'--ttl': a duration must be seconds, or a number with s, m, h or d (90, 15m, 1.5h, 30d)",
        ),
        (("create", "{}", "--subject", ""), "--subject must not be empty; leave it out for a session of no subject"),
        (("revoke-id", "x"), "id must be 32 hexadecimal digits ('crudjt list' lists them)"),
    ],
)
def test_a_mistake_is_named_as_it_was_typed(
    command: Command, live: crudjt.Store, arguments: tuple[str, ...], text: str
) -> None:
    result = command(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr
