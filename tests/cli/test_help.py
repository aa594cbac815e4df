"""Help, version and documentation of the command."""

import re
from pathlib import Path

import click

from crudjt.cli import main
from tests.cli.shell import Command

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "cli.md"


def test_every_command_has_help_that_fits_its_line_and_explains_its_options(command: Command) -> None:
    summary = command("--help").stdout
    assert "..." not in summary.partition("Commands:")[2]
    for name, each in main.commands.items():
        assert name in summary
        result = command(name, "--help")
        assert result.exit_code == 0
        assert each.help
        for parameter in each.params:
            assert not isinstance(parameter, click.Option) or parameter.help or parameter.hidden


def test_the_version_is_shown(command: Command) -> None:
    result = command("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("crudjt ")


def test_every_command_and_option_is_documented_in_its_section() -> None:
    pattern = re.compile(r"^#+ (.*?)\n(.*?)(?=^#|\Z)", re.DOTALL | re.MULTILINE)
    sections = dict(pattern.findall(DOCUMENTATION.read_text()))
    commands: dict[str, click.Command] = {"Options before the command": main, **main.commands}
    assert set(commands) <= set(sections)
    for name, each in commands.items():
        for parameter in each.params:
            if parameter.name == "json" and each is not main:
                continue  # explained once, for all
            wanted = (
                parameter.opts[0]
                if isinstance(parameter, click.Option)
                else parameter.make_metavar(click.Context(each))
            )
            assert wanted in sections[name], f"docs/cli.md does not explain {wanted} of {name}"
