"""Arguments and options that several commands take, and their parsing.

A message about bad input names the parameter and never repeats the value: a token may stand in any place.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from crudjt._core.tokens import TOKEN_CHARACTERS
from crudjt._core.validation import KeepType
from crudjt.cli import json_values
from crudjt.opening import Location, resolve

STANDARD_INPUT = "-"
NO_LIMIT = "none"

HIDDEN_HYPHEN = "\0"  # in place of the first one of a token, which click would take for an option

_DURATION = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)([smhd]?)")
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_HYPHEN_FIRST = re.compile(rf"-[A-Za-z0-9_-]{{{TOKEN_CHARACTERS - 1}}}")
_WHOLE = re.compile(r"[0-9]{1,20}")

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Function], Function]


class TokenCommand(click.Command):
    """A command that takes a token, or a handle, for which a token may be mistaken.

    One token in 64 begins with a hyphen: it is an argument, also where it begins with -h.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Let what is no known option through, for an error that does not show it."""
        super().__init__(*arguments, **{**keywords, "context_settings": {"ignore_unknown_options": True}})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Hide the hyphen of tokens from click."""
        return super().parse_args(
            ctx, [HIDDEN_HYPHEN + each[1:] if _HYPHEN_FIRST.fullmatch(each) else each for each in args]
        )


def _argument(ctx: click.Context, text: str) -> str:
    """Return an argument with its hyphen; refuse the misspelled option that `TokenCommand` lets through."""
    text = text.replace(HIDDEN_HYPHEN, "-")
    if text.startswith("-") and text != STANDARD_INPUT and len(text) != TOKEN_CHARACTERS:
        known = [name for each in ctx.command.params if isinstance(each, click.Option) for name in each.opts]
        raise click.NoSuchOption(text.partition("=")[0], possibilities=known, ctx=ctx)
    return text


def _standard_input() -> BinaryIO:
    if sys.stdin is None:  # as Python has it when the descriptor is closed
        raise click.BadParameter("standard input is closed")
    return sys.stdin.buffer


def _token(ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    if text is None:
        return None
    text = _argument(ctx, text)
    if text != STANDARD_INPUT:
        return text
    # One line, so that what follows it is left for JSON.
    line = _standard_input().readline().strip()
    if not line:
        raise click.BadParameter("standard input holds none")
    return line.decode(errors="replace")


def _handle(ctx: click.Context, _param: click.Parameter, text: str) -> str:
    return _argument(ctx, text)


def _data(ctx: click.Context, _param: click.Parameter, text: str) -> Any:
    text = _argument(ctx, text)
    return json_values.parse(_standard_input().read() if text == STANDARD_INPUT else text)


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise click.BadParameter("a duration must be seconds, or a number with s, m, h or d (90, 15m, 1.5h, 30d)")
    return float(match[1]) * _UNIT_SECONDS[match[2]]


def _whole(text: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise click.BadParameter("not a whole number")
    return int(text)


def _limit(
    name: str, metavar: str, parse: Callable[[str], float], absent: KeepType | None, text: str
) -> Decorator[Any]:
    """Return an option for a limit: `absent` where it is not given, ``None`` where it is "none"."""

    def convert(_ctx: click.Context, _param: click.Parameter, given: str | None) -> float | KeepType | None:
        if given is None:
            return absent
        return None if given == NO_LIMIT else parse(given)

    return click.option(name, metavar=metavar, callback=convert, help=text)


def duration_option(name: str, absent: float | None, text: str) -> Decorator[Any]:
    """Return an option for a duration, in seconds; `absent` where it is not given."""

    def convert(_ctx: click.Context, _param: click.Parameter, given: str | None) -> float | None:
        return absent if given is None else _duration(given)

    return click.option(name, metavar="DURATION", callback=convert, help=text)


def ttl_option(absent: KeepType | None, text: str) -> Decorator[Any]:
    """Return the option for the absolute lifetime."""
    return _limit("--ttl", "DURATION", _duration, absent, text)


def idle_option(absent: KeepType | None, text: str) -> Decorator[Any]:
    """Return the option for the idle timeout."""
    return _limit("--idle", "DURATION", _duration, absent, text)


def max_reads_option(absent: KeepType | None, text: str) -> Decorator[Any]:
    """Return the option for the number of reads."""
    return _limit("--max-reads", "NUMBER", _whole, absent, text)


def _optional_whole(_ctx: click.Context, _param: click.Parameter, given: str | None) -> int | None:
    return None if given is None else _whole(given)


def _path(_ctx: click.Context, _param: click.Parameter, given: str | None) -> Path | None:
    if given == "":  # an unset variable in a script, say; Path would take it for the working directory
        raise click.BadParameter("empty")
    return None if given is None else Path(given).absolute()


def _location(_ctx: click.Context, _param: click.Parameter, given: str | None) -> str | None:
    if given == "":  # as above
        raise click.BadParameter("empty")
    return given


def _url(_ctx: click.Context, _param: click.Parameter, given: str | None) -> str | None:
    if given is not None and not isinstance(resolve(given or "."), str):
        raise click.BadParameter("not a URL; --store also takes a directory")
    return given


def _json(ctx: click.Context, _param: click.Parameter, given: bool) -> None:
    if given:
        ctx.obj.json = True


def path_option(name: str, text: str, variable: str | None = None) -> Decorator[Any]:
    """Return an option for a file or directory, which a variable of the environment may name too."""
    return click.option(name, metavar="PATH", envvar=variable, callback=_path, help=text)


store_option: Decorator[Any] = click.option(
    "--store",
    metavar="LOCATION",
    callback=_location,
    help="Directory or URL of the store; else CRUDJT_STORE, /var/lib/store_jt or ./store_jt.",
)
# The older spellings, for one kind of location each.
older_path_option: Decorator[Any] = click.option("--path", callback=_path, hidden=True)
older_url_option: Decorator[Any] = click.option("--url", callback=_url, hidden=True)


def one_location(*given: Location | None) -> Location | None:
    """Return the one location among options that name one; ``None`` if none is given."""
    locations = [each for each in given if each is not None]
    if len(locations) > 1:
        raise click.UsageError("--store, --path and --url each name the store; give one of them")
    return locations[0] if locations else None


token_argument: Decorator[Any] = click.argument("token", callback=_token)
handle_argument: Decorator[Any] = click.argument("id", metavar="HANDLE", callback=_handle)
data_argument: Decorator[Any] = click.argument("data", metavar="JSON", callback=_data)
path_argument: Decorator[Any] = click.argument("path", callback=_path)
keep_option: Decorator[Any] = click.option(
    "--keep", metavar="TOKEN", callback=_token, help="Spare the session of this token."
)
if_version_option: Decorator[Any] = click.option(
    "--if-version", metavar="NUMBER", callback=_optional_whole, help="Change nothing unless this is its version."
)
json_option: Decorator[Any] = click.option(
    "--json", is_flag=True, expose_value=False, callback=_json, help="Print the result as a JSON document."
)

subject_filter_option: Decorator[Any] = click.option("--subject", metavar="TEXT", help="Only those of this owner.")
created_before_option: Decorator[Any] = duration_option(
    "--older-than", None, "Only those that were created so long ago."
)
data_option: Decorator[Any] = click.option("--data", is_flag=True, help="Print the data too.")
