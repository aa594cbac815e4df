"""The shell command `crudjt`; its reference is ``docs/cli.md``."""

from crudjt.cli.commands import main as main
