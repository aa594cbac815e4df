"""Record what the command did, in the audit log."""

import functools
import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from crudjt._core.audit import audit
from crudjt._core.clock import iso, utc
from crudjt._core.validation import is_handle
from crudjt._filesystem import ownership
from crudjt.cli.errors import NoSuchSession
from crudjt.cli.notices import as_json
from crudjt.errors import StoreInaccessible


def audited(command: click.Command) -> click.Command:
    """Make a command record each of its runs: who, what, the handle or the subject, and the result."""
    run = command.callback
    assert run is not None, "a command does something"

    @functools.wraps(run)
    def recorded(*arguments: Any, **options: Any) -> Any:
        result = "done"
        try:
            return run(*arguments, **options)
        except NoSuchSession:
            result = "missing"
            raise
        except click.exceptions.Exit as end:
            result = "done" if not end.exit_code else f"exit {end.exit_code}"
            raise
        except BaseException as error:
            result = type(error).__name__
            raise
        finally:
            audit(
                operator_at_the_terminal(),
                f"crudjt {command.name}",
                result,
                **_details(click.get_current_context().params),
            )

    command.callback = recorded
    return command


@contextmanager
def audited_in(path: Path) -> Generator[None]:
    """Append the audit log to a file for a block, one JSON object a record.

    Raises:
        StoreInaccessible: it cannot be written; then nothing is done.

    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, ownership.FILE_MODE)
    except OSError as error:
        raise StoreInaccessible(path, f"the audit log cannot be written: {os.strerror(error.errno or 0)}") from None
    logger, handler = logging.getLogger("crudjt.audit"), _JsonLines(descriptor)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        os.close(descriptor)


class _JsonLines(logging.Handler):
    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        document = {"time": iso(utc(int(record.created * 1000))), **vars(record)["audit"]}
        # One call for a line, so that the lines of several commands do not mix.
        os.write(self._descriptor, as_json(document) + b"\n")


def operator_at_the_terminal() -> str:
    """Return the name of who runs the command, by the user id, and who sudo says it runs for."""
    try:
        import pwd  # noqa: PLC0415 - not on Windows

        name = pwd.getpwuid(os.getuid()).pw_name
    except ImportError:
        name = os.environ.get("USERNAME", "a user")
    except KeyError:  # as in containers
        name = f"uid {os.getuid()}"
    by = os.environ.get("SUDO_USER")
    return f"{name} at the terminal, by sudo of {by}" if by else f"{name} at the terminal"


def _details(params: dict[str, Any]) -> dict[str, str]:
    """Return the handle or the subject among the parameters of a command; never what may be a token."""
    details: dict[str, str] = {}
    if isinstance(handle := params.get("id"), str) and is_handle(handle):
        details["handle"] = handle
    if isinstance(subject := params.get("subject"), str):
        details["subject"] = subject
    return details
