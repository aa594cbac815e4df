"""Logging of a server: one line for each event on standard error, as text or JSON.

No line holds a token, a key or data, and no traceback is printed, since the text of an unknown error might.
"""

import logging
from datetime import datetime, timezone
from typing import Any

import msgspec

from crudjt.errors import InvalidParameter

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")


class _Formatter(logging.Formatter):
    def __init__(self, *, json: bool) -> None:
        super().__init__()
        self._json = json

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        time = time.replace("+00:00", "Z")
        line: dict[str, Any] = {
            "time": time,
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if (audited := vars(record).get("audit")) is not None:
            line["audit"] = audited
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        if self._json:
            return msgspec.json.encode(line).decode()
        error = f" ({line['error']})" if "error" in line else ""
        return f"{time} {record.levelname} [{record.process}] {line['message']}{error}"


def log_to_standard_error(log_format: str, level: str) -> None:
    """Log all messages of this process, of any library, to standard error.

    Raises:
        InvalidParameter: unknown format or level.

    """
    if log_format not in FORMATS:
        raise InvalidParameter("log_format", f"log_format must be {' or '.join(FORMATS)}, not {log_format!r}")
    if level not in LEVELS:
        raise InvalidParameter("log_level", f"log_level must be one of {', '.join(LEVELS)}, not {level!r}")
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(json=log_format == "json"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("crudjt").setLevel(level.upper())
