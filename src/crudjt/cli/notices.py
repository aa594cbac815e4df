"""Print what is no result on the standard error output: as text, or with ``--json`` each as a JSON object on a line."""

import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import click
import msgspec

_JSON = "crudjt.json"  # in the shared part of click's contexts

# Settings.open says this in words of its own.
_SAID_OTHERWISE = "crudjt.secret_key"


def use_json(ctx: click.Context, *, wanted: bool) -> None:
    """Choose JSON or text for a command line."""
    ctx.meta[_JSON] = wanted


def uses_json(ctx: click.Context | None) -> bool:
    """Return what `use_json` chose."""
    return ctx is not None and bool(ctx.meta.get(_JSON))


def inform(text: str) -> None:
    """Print what a command has done besides its task."""
    _print({"notice": text}, text)


def warn(text: str) -> None:
    """Print a warning."""
    _print({"warning": text}, f"Warning: {text}")


def as_json(document: dict[str, Any]) -> bytes:
    """Return a document as JSON on one line. An argument that is not UTF-8, such as a path, is in it with escapes."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        return json.dumps(document, separators=(",", ":")).encode()


def print_json(document: dict[str, Any]) -> None:
    """Print a JSON object on the standard error output."""
    click.echo(as_json(document), err=True)


@contextmanager
def warnings_of_the_library() -> Generator[None]:
    """Print what the library logs in a block as `warn` does."""
    logger = logging.getLogger("crudjt")
    handler = _Warnings(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.name != _SAID_OTHERWISE:
            warn(record.getMessage())


def _print(document: dict[str, Any], text: str) -> None:
    if uses_json(click.get_current_context(silent=True)):
        print_json(document)
    else:
        click.echo(text, err=True)
