"""Settings that all commands share, and the conversion of errors to exit codes.

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
from typing import Any, ClassVar, cast

import click
import msgspec

from crudjt._backends.embedded.engine.directory import holds_store, prepare_directory
from crudjt._backends.grpc.location import access_token_in
from crudjt._core.keyring import generate_secret_key
from crudjt._core.tokens import TOKEN_CHARACTERS
from crudjt.base import Store
from crudjt.cli import keys
from crudjt.errors import InvalidParameter, MissingDependency, StoreError, StoreInaccessible, VersionConflict
from crudjt.opening import Location, OpenOptions, backend_of, parse, resolve

_OF_DIRECTORIES = frozenset({"allow_shared_directory"})
_INTERRUPTED = 130
_UNREAD = 141
_TOKEN_IN_TEXT = re.compile(rf"[\w-]{{{TOKEN_CHARACTERS},}}", re.ASCII)


@dataclass
class Settings:
    """The options of the group.

    Attributes:
        location: as for `crudjt.open`; ``None`` where it is not given.
        secret_key_file: a file with the secret keys, for a store that takes any.
        json: whether to print JSON; a command has this option too.
        connection: the options for a server; ``None`` for each that is not given.
        new_key: whether the secret keys may be new to a store that exists.

    """

    location: Location | None
    secret_key_file: Path | None
    json: bool
    connection: dict[str, Path | bool | None]
    new_key: bool = False

    @property
    def place(self) -> str | Path:
        """The URL or the directory of the store."""
        return resolve(self.location)

    @property
    def directory(self) -> Path:
        """The directory of the store; a store that has none is refused."""
        place = self.place
        if isinstance(place, str):
            backend_of(place)  # refuses an unknown scheme by name
            raise click.UsageError("this command works on the files of a store; --store must be a directory")
        return place

    def refuse_url(self) -> None:
        """Refuse a URL, for a command that needs no store."""
        if self.location is not None and isinstance(self.place, str):
            raise click.UsageError("--store does not go with this command: it asks no store")

    def options(self, key_file: Path | None = None, *, create: bool = False) -> OpenOptions:
        """Return the options that `crudjt.open` takes for the store.

        Args:
            key_file: where to find the secret keys if ``--secret-key-file`` is not given.
            create: whether the command makes the store if there is none, and a secret key for a user who has none.

        Raises:
            StoreInaccessible: there is no store, and none is to be made or can be made.

        """
        place, options = self.place, self._connection_options()
        if "secret_key" in backend_of(place).OPTIONS:
            parse(place, {**options, "secret_key": generate_secret_key()})  # refuses before a key is made
            is_new = isinstance(place, Path) and not holds_store(place)
            if isinstance(place, Path) and is_new:
                if not create and not place.is_file():
                    raise StoreInaccessible(place, "there is no store here (to make one: crudjt init)")
                if place.exists():  # no key is made for a directory that cannot be a store
                    prepare_directory(place, create=create, allow_shared=options.get("allow_shared_directory", False))
            options["secret_key"] = keys.secret_keys(
                self.secret_key_file or key_file,
                place if isinstance(place, Path) else None,
                may_make=is_new if isinstance(place, Path) else create,
            )
            if isinstance(place, Path):
                options["create"] = create
        elif self.secret_key_file is not None:
            raise click.UsageError("--secret-key-file does not go with this store: the server has its own")
        return options

    def _connection_options(self) -> OpenOptions:
        taken = backend_of(self.place).OPTIONS
        options: dict[str, Any] = {}
        for name, value in self.connection.items():
            parameter = name.removesuffix("_file")
            if value is not None and parameter not in taken:
                kind = "directory" if name in _OF_DIRECTORIES else "server"
                raise click.UsageError(f"--{name.replace('_', '-')} is only for a {kind}")
            if isinstance(value, Path) and parameter == "access_token":
                options[parameter] = access_token_in(value)
            elif value is not None:
                options[parameter] = value
        return cast("OpenOptions", options)

    def open(self, options: OpenOptions | None = None, *, create: bool = False, finds_sessions: bool = True) -> Store:
        """Open the store.

        Says on the standard error output if it made one: a new store that was not expected is a wrong location.

        Args:
            options: what `options` returned, if it was called already.
            create: whether to make the store if there is none, and a secret key for a user who has none.
            finds_sessions: whether the command needs the right secret key to do what it is for.

        Raises:
            StoreInaccessible: there is no store, and none is to be made; no secret key that was given made a session in
                it, though there are some, and ``--new-key`` was not given.

        """
        parsed = parse(self.place, self.options(create=create) if options is None else options)
        is_new = isinstance(self.place, Path) and not holds_store(self.place)
        store = parsed.open()
        if is_new:
            click.echo(f"Made a new store: {self.place}", err=True)
        elif finds_sessions and not self.new_key and not getattr(store, "key_is_known", True):
            store.close()
            raise StoreInaccessible(
                store.location,
                "the secret key is not the one that the sessions of this store were made with, so none would be found; "
                "give that one with --secret-key-file, or begin to use this one with --new-key",
            )
        return store

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


_SOURCE_OF_HANDLES = "'crudjt sessions' lists them"


class NoSuchSession(click.ClickException):
    """A token or a handle that names no live session."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str = "token") -> None:
        """Take what was given, "token" or "handle", without its value."""
        super().__init__(f"no such session: this {what} is unknown, or its session has ended")


class _Conflict(click.ClickException):
    exit_code: ClassVar[int] = 1


class _BadInput(click.ClickException):
    exit_code: ClassVar[int] = 2


class _StoreFailure(click.ClickException):
    exit_code: ClassVar[int] = 3


class Commands(click.Group):
    """Command group that maps errors to the exit codes above and never prints a token in an error."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            # click repeats what it does not understand, and people paste tokens into the wrong place.
            message = _TOKEN_IN_TEXT.sub("<token>", error.format_message())
            if isinstance(error, click.NoSuchOption) and any(error.option_name in each.opts for each in self.params):
                message = f"{error.option_name} goes before the command: crudjt {error.option_name} … COMMAND"
            raise click.UsageError(message, error.ctx or ctx) from None
        except InvalidParameter as error:
            raise _BadInput(self._in_words_of_the_shell(error, ctx)) from None
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

    def _in_words_of_the_shell(self, error: InvalidParameter, ctx: click.Context) -> str:
        """Return the text of an error with options in the place of parameters."""
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        for given in (*(command.params if command else ()), *self.params):
            if given.name == error.parameter and error.problem.startswith(f"{given.name} "):
                name = max(given.opts, key=len) if isinstance(given, click.Option) else given.name
                return name + error.problem.removeprefix(given.name).replace("Session.id", _SOURCE_OF_HANDLES)
        return error.problem
