"""The screen of the command `top`."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from crudjt._core.session import Session
from crudjt.cli.terminal import painted, printable

_SIZE = (80, 24)  # columns and lines, where there is no terminal
_START, _REST_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_LABEL, _NUMBER = 20, 17  # columns; two counters a line
_COLOURS = {"begun": "green", "rotated": "cyan", "changed": "blue", "ended": "yellow", "expired": "magenta"}
_WHOLE = 100  # a second; from there on without decimals, so that all rates fit in a line
_UNITS = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def screen(
    location: str,
    counters: Mapping[str, int | datetime | None],
    a_second: Mapping[str, float | None],
    newest: Sequence[Session],
    *,
    live: bool,
) -> str:
    """Return one look at a store; `live` draws it over the one before, no larger than the terminal."""
    columns, height = shutil.get_terminal_size(_SIZE) if live else _SIZE
    now = datetime.now(timezone.utc)
    clock = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    title = f"{_fitting(printable(location), columns - len(clock) - 2)}  {clock}"
    lines = [_bold(title), "", _rates(a_second), *_pairs(counters, now)]
    if newest:
        lines += ["", _bold(f"{'NEWEST SESSIONS':<34}{'BEGAN':<10}{'SUBJECT':<20}CLIENT"[:columns])]
        lines += [_line(session, columns) for session in newest[: max(height - len(lines) - 2, 1)]]
    if not live:
        return "\n".join(lines)
    lines.append(painted("q quits", sys.stdout, dim=True))
    return _START + "".join(f"{line}{_REST_OF_LINE}\n" for line in lines[: height - 1]).rstrip("\n") + _BELOW


def _rates(a_second: Mapping[str, float | None]) -> str:
    """Return how many events of each kind there were in a second, in colours where there were any."""
    return "a second  " + "  ".join(
        painted(text, sys.stdout, fg=_COLOURS[kind], bold=True) if rate else text
        for kind, rate in a_second.items()
        for text in [f"{kind} {'-' if rate is None else rate if rate < _WHOLE else int(rate)}"]
    )


def _pairs(counters: Mapping[str, int | datetime | None], now: datetime) -> list[str]:
    cells = [f"{_label(name):<{_LABEL}}{_value(name, value, now):<{_NUMBER}}" for name, value in counters.items()]
    return ["  ".join(cells[at : at + 2]).rstrip() for at in range(0, len(cells), 2)]


def _label(name: str) -> str:
    return name.removesuffix("_bytes").removesuffix("_at").replace("_", " ")


def _value(name: str, value: int | datetime | None, now: datetime) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        seconds = max(int((now - value).total_seconds()), 0)
        unit, size = next((each for each in (("d", 86_400), ("h", 3600), ("min", 60)) if seconds >= each[1]), ("s", 1))
        return f"{seconds // size} {unit} ago"
    if name.endswith(("_bytes", "_size")):
        size, unit = next((each for each in _UNITS if value >= each[0]), (1, "B"))
        return f"{value / size:.1f} {unit}" if size > 1 else f"{value} B"
    return f"{value:,}"


def _line(session: Session, columns: int) -> str:
    client = session.client
    address = "-" if client is None or client.address is None else client.address
    subject = "-" if session.subject is None else session.subject
    text = f"{session.id}  {session.created_at:%H:%M:%S}  {_fitting(printable(subject), 18):<20}{printable(address)}"
    return _fitting(text, columns)


def _fitting(text: str, columns: int) -> str:
    return text if len(text) <= columns else f"{text[: max(columns - 1, 0)]}…"


def _bold(text: str) -> str:
    return painted(text, sys.stdout, bold=True)
