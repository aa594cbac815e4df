"""What all commands have in common: the settings of the group, and the one place where errors become exit codes.

The exit codes:

    0    done
    1    no such session, another version than the one asked for, or a store that `doctor` finds fault with
    2    bad input
    3    the store, or the system below it, failed
    130  interrupted
    141  whoever read the output had seen enough
"""

import contextlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import click
import msgspec

from crudjt._backends.embedded.engine import manifest
from crudjt._backends.grpc.location import (
    access_token_in,
    is_remote,
)
from crudjt._core.tokens import TOKEN_CHARACTERS
from crudjt.base import Store
from crudjt.cli import keys
from crudjt.errors import InvalidParameter, MissingDependency, StoreError, VersionConflict
from crudjt.opening import default_directory
from crudjt.opening import open as open_store

_INTERRUPTED = 130
_UNREAD = 141
_TOKEN_IN_TEXT = re.compile(rf"[\w-]{{{TOKEN_CHARACTERS},}}", re.ASCII)


@dataclass
class Settings:
    """What the options of the group say; `json` may also be said to a command. `remote` is for `crudjt.open`."""

    path: Path | None
    secret_key_file: Path | None
    json: bool
    url: str | None
    remote: dict[str, Any]

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        if self.url is None:
            without_use = [name for name, value in self.remote.items() if value is not None]
            if without_use:
                raise click.UsageError(f"--{without_use[0].replace('_', '-')} goes with --url")
        elif self.path is not None or self.secret_key_file is not None:
            raise click.UsageError("--path and --secret-key-file do not go with --url: the server has its own")

    def require_directory(self) -> None:
        """Refuse ``--url``, for a command that does not ask a store."""
        if self.url is not None:
            raise click.UsageError("--url does not go with this command: it works on this host")

    @property
    def directory(self) -> Path:
        """Where the store lies."""
        return default_directory() if self.path is None else self.path

    def open(self) -> Store:
        """Open the store, making it and its key where there are none.

        Says on the standard error output what it made: a store that nobody expected to be new is a wrong path. With
        ``--url``, connects to a server instead.
        """
        if self.url is not None:
            return self._connect(self.url)
        return self.open_here(keys.secret_keys(self.secret_key_file))

    def open_here(self, secret_keys: list[str]) -> Store:
        """Open the store of this host with these secret keys."""
        is_new = not (self.directory / manifest.NAME).exists()
        store = open_store(self.directory, secret_key=secret_keys)
        if is_new:
            click.echo(f"Made a new store: {self.directory}", err=True)
        return store

    def _connect(self, url: str) -> Store:
        return open_store(url, **self.connecting(url))

    def connecting(self, url: str) -> dict[str, Any]:
        """Return what `crudjt.open` takes beside the location of a server."""
        if not is_remote(url):
            raise click.UsageError("--url is no location of a server; allowed: grpc://, grpcs:// or unix://")
        options = dict(self.remote)
        file = options.pop("access_token_file")
        return {"access_token": None if file is None else access_token_in(file), **options}

    def show(self, document: dict[str, Any], text: str = "") -> None:
        """Print a result: the document with ``--json``, else the text, if it has one."""
        line = msgspec.json.encode(document) if self.json else text.encode()
        if not line:
            return
        try:
            click.echo(line)  # as bytes: JSON is UTF-8, whatever the terminal's encoding
        except OSError:
            with contextlib.suppress(OSError):
                sys.stdout.close()  # or Python tries once more when it ends, and exits with 120
            raise


class NoSuchSession(click.ClickException):
    """There is nothing behind a token or a handle."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str = "token") -> None:
        """Name what was given, and not its value."""
        super().__init__(f"no such session: this {what} is unknown, or its session has ended")


class _Conflict(click.ClickException):
    exit_code: ClassVar[int] = 1


class _BadInput(click.ClickException):
    exit_code: ClassVar[int] = 2


class _StoreFailure(click.ClickException):
    exit_code: ClassVar[int] = 3


class Commands(click.Group):
    """A group whose errors have the exit codes above, and never repeat a token."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            # click repeats what it does not understand, and people paste tokens into the wrong place.
            message = _TOKEN_IN_TEXT.sub("<token>", error.format_message())
            raise click.UsageError(message, error.ctx or ctx) from None
        except InvalidParameter as error:
            raise _BadInput(str(error)) from None
        except RecursionError:
            raise _BadInput("data is nested too deeply for JSON, which some hundred levels fit in") from None
        except VersionConflict as error:
            raise _Conflict(str(error)) from None
        except (StoreError, MissingDependency) as error:
            raise _StoreFailure(str(error)) from None
        except BrokenPipeError:
            raise click.exceptions.Exit(_UNREAD) from None
        except OSError as error:
            raise _StoreFailure(str(error)) from None
        except KeyboardInterrupt:
            raise click.exceptions.Exit(_INTERRUPTED) from None
