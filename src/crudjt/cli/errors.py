"""Errors of the command: their exit codes, and their form as text or JSON.

The exit codes:

    0    done
    1    no such session, another version than the one asked for, or a store that `doctor` finds fault with
    2    bad input
    3    the store, or the system below it, failed
    130  interrupted
    141  whoever read the output had seen enough
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar

import click

from crudjt._core.tokens import TOKEN_CHARACTERS
from crudjt.cli.notices import print_json, use_json, uses_json
from crudjt.cli.options import HIDDEN_HYPHEN
from crudjt.errors import CrudjtError, InvalidParameter, MissingDependency, StoreError, VersionConflict

_CONFLICT = 1
_BAD_INPUT = 2
_STORE_FAILED = 3
_INTERRUPTED = 130
_UNREAD = 141
_TOKEN_IN_TEXT = re.compile(rf"[\w{HIDDEN_HYPHEN}-]{{{TOKEN_CHARACTERS},}}", re.ASCII)
_TOO_DEEP = InvalidParameter("data", "data is nested too deeply for JSON, which some hundred levels fit in")
_SOURCE_OF_HANDLES = "'crudjt list' lists them"


class NoSuchSession(click.ClickException):
    """A token or a handle that names no live session."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str = "token") -> None:
        """Take what was given, "token" or "handle", without its value."""
        super().__init__(f"no such session: this {what} is unknown, or its session has ended")


class _Error(click.ClickException):
    """An error with an exit code of its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        vars(self)["exit_code"] = exit_code  # click declares it for the class, and reads it from the error


class _Failure(_Error):
    """An error of the library, or of the system below it."""

    def __init__(self, message: str, exit_code: int, cause: Exception) -> None:
        super().__init__(message, exit_code)
        self.cause = cause


class _AsJson(_Error):
    """Another error, printed as one JSON object."""

    def __init__(self, error: click.ClickException) -> None:
        super().__init__(error.format_message(), error.exit_code)
        cause = error.cause if isinstance(error, _Failure) else error
        self._document = {
            "type": "UsageError" if isinstance(error, click.UsageError) else type(cause).__name__,
            "message": self.message,
            **(_fields(cause) if isinstance(cause, CrudjtError) else {}),
        }

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - click passes none
        print_json({"error": self._document})


def _fields(error: CrudjtError) -> dict[str, Any]:
    """Return the fields of an error but for its sentences, which are in the message."""
    fields = {name: str(value) if isinstance(value, Path) else value for name, value in vars(error).items()}
    return {name: value for name, value in fields.items() if name not in ("problem", "reason")}


class Commands(click.Group):
    """Command group that maps errors to the exit codes above and never prints a token in an error."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the options before the command."""
        args = options_first(self, args)
        as_json = _asks_for_json(args)
        is_bare = not args  # which shows the help, and not an error
        try:
            ctx = super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if is_bare:
                raise
            shown = _without_token(error, error.ctx)
            raise _AsJson(shown) if as_json else shown from None
        use_json(ctx, wanted=as_json)
        return ctx

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return self._invoke(ctx)
        except click.ClickException as error:
            if uses_json(ctx):
                raise _AsJson(error) from None
            raise

    def _invoke(self, ctx: click.Context) -> Any:
        """Run the command; raise each of its errors as one of click."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _without_token(error, error.ctx or ctx) from None
        except InvalidParameter as error:
            raise _Failure(self._in_words_of_the_shell(error, ctx), _BAD_INPUT, error) from None
        except RecursionError:
            raise _Failure(_TOO_DEEP.problem, _BAD_INPUT, _TOO_DEEP) from None
        except VersionConflict as error:
            raise _Failure(str(error), _CONFLICT, error) from None
        except BrokenPipeError:
            raise click.exceptions.Exit(_UNREAD) from None
        except (StoreError, MissingDependency, OSError) as error:
            raise _Failure(str(error), _STORE_FAILED, error) from None
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


def options_first(group: click.Group, arguments: Sequence[str]) -> list[str]:
    """Return arguments with the options of a group that follow a command in front of it.

    An option that the command has too is the command's, and what follows ``--`` is no option.
    """
    own, before = _options_of(group), list[str]()
    left = iter(arguments)
    for argument in left:
        if not argument.startswith("-") or argument == "-":
            command = group.commands.get(argument)
            break
        before += _with_value(argument, left, own)
    else:
        return before
    theirs, after = {} if command is None else _options_of(command), [argument]
    for argument in left:
        if argument == "--":
            return [*before, *after, argument, *left]
        name = argument.partition("=")[0]
        if name in own and name not in theirs:
            before += _with_value(argument, left, own)
        else:
            after += _with_value(argument, left, theirs)
    return [*before, *after]


def _options_of(command: click.Command) -> dict[str, click.Option]:
    return {name: each for each in command.params if isinstance(each, click.Option) for name in each.opts}


def _with_value(argument: str, left: Iterator[str], options: Mapping[str, click.Option]) -> list[str]:
    """Return an argument, and the next one if that is its value."""
    option = options.get(argument)
    has_value = option is not None and not option.is_flag
    return [argument, *itertools.islice(left, int(has_value))]


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Tell whether ``--json`` is among the arguments. They may be wrong, so that click cannot parse them all."""
    return "--json" in arguments


def _without_token(error: click.UsageError, ctx: click.Context | None) -> click.UsageError:
    """Return an error of click's without tokens: click repeats what it does not understand."""
    return click.UsageError(_TOKEN_IN_TEXT.sub("<token>", error.format_message()), ctx)
