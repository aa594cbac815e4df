"""The shell command `crudjt`. What it takes, prints and exits with is in ``docs/cli.md``."""

from crudjt.cli.commands import main as main
