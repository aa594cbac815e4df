"""Text for a terminal: colours there only, and nothing that would control it."""

import os
from typing import IO, Any

import click


def printable(text: str) -> str:
    """Return a text of a user or a client on one line, with escapes in place of what would control a terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def painted(text: str, stream: IO[Any], **style: Any) -> str:
    """Return a text in the style of `click.style` if it goes to a terminal that has colours."""
    return click.style(text, **style) if has_colours(stream) else text


def has_colours(stream: IO[Any] | None) -> bool:
    """Tell whether a stream is a terminal whose user has not turned colours off (``NO_COLOR``)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and stream is not None and stream.isatty()
