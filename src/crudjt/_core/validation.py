"""Check the arguments that calls share, and convert limits to stored units."""

import re
from collections.abc import Iterable
from datetime import timedelta
from enum import Enum
from typing import Final, Literal, NamedTuple

from crudjt.errors import InvalidParameter, InvalidType

MAX_SECONDS = 1000 * 366 * 86_400
MAX_READS = 2**63 - 1
MAX_SUBJECT_BYTES = 1024

_NUMBERS = (int, float)  # each call would make ``int | float`` again
_HANDLE = re.compile(r"[0-9a-f]{32}")


class Keep(Enum):
    """The type of `KEEP`."""

    KEEP = "KEEP"

    def __repr__(self) -> str:
        """Return the name, for signatures."""
        return "KEEP"


KEEP: Final = Keep.KEEP
"""Leaves a limit of a session as it is; ``None`` removes it."""

KeepType = Literal[Keep.KEEP]

Duration = float | timedelta
"""A duration as callers give it; a number is in seconds."""


WhenFull = Literal["end_oldest", "refuse"]
"""What happens where a subject has `max_sessions` already: its oldest session ends, or the new one is refused."""


class StoredLimits(NamedTuple):
    """The limits of a new session; durations in milliseconds, 0 for none."""

    ttl: int
    idle: int
    max_reads: int


NO_LIMITS = StoredLimits(0, 0, 0)


class NewLimits(NamedTuple):
    """Changed limits of a session: as in `StoredLimits`, or `KEEP`."""

    ttl: int | KeepType
    idle: int | KeepType
    max_reads: int | KeepType


NO_NEW_LIMITS = NewLimits(KEEP, KEEP, KEEP)


def milliseconds(parameter: str, seconds: Duration | None) -> int:
    """Return a duration in whole milliseconds, at least one; 0 for ``None``."""
    if seconds is None:
        return 0
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, _NUMBERS):
        raise InvalidType(
            parameter, f"{parameter} must be a number of seconds, a timedelta or None, not {type(seconds).__name__}"
        )
    if not 0 < seconds <= MAX_SECONDS:  # NaN fails, too
        raise InvalidParameter(
            parameter, f"{parameter} must be above 0 and at most {MAX_SECONDS} seconds (1000 years), not {seconds!r}"
        )
    return round(seconds * 1000) or 1


def reads(max_reads: int | None) -> int:
    """Return a number of reads; 0 for ``None``."""
    if max_reads is None:
        return 0
    if isinstance(max_reads, bool) or not isinstance(max_reads, int):
        raise InvalidType("max_reads", f"max_reads must be an int or None, not {type(max_reads).__name__}")
    if not 0 < max_reads <= MAX_READS:
        raise InvalidParameter("max_reads", f"max_reads must be from 1 to {MAX_READS}, not {max_reads}")
    return max_reads


def new_limits(ttl: Duration | None, idle: Duration | None, max_reads: int | None) -> StoredLimits:
    """Return the limits of a new session."""
    if ttl is idle is max_reads is None:
        return NO_LIMITS
    return StoredLimits(milliseconds("ttl", ttl), milliseconds("idle", idle), reads(max_reads))


def changed_limits(
    ttl: Duration | KeepType | None, idle: Duration | KeepType | None, max_reads: int | KeepType | None
) -> NewLimits:
    """Return the changes to a session's limits."""
    if ttl is idle is max_reads is KEEP:
        return NO_NEW_LIMITS
    return NewLimits(
        ttl if ttl is KEEP else milliseconds("ttl", ttl),
        idle if idle is KEEP else milliseconds("idle", idle),
        max_reads if max_reads is KEEP else reads(max_reads),
    )


def checked_subject(subject: object) -> str:
    """Return a valid subject. Its text is never in an error."""
    if not isinstance(subject, str):
        raise InvalidType("subject", f"subject must be a str, not {type(subject).__name__}")
    if not subject:
        raise InvalidParameter("subject", "subject must not be empty; leave it out for a session of no subject")
    try:
        size = len(subject.encode())
    except UnicodeEncodeError:
        raise InvalidParameter("subject", "subject must be valid Unicode, without a lone surrogate") from None
    if size > MAX_SUBJECT_BYTES:
        raise InvalidParameter(
            "subject", f"subject must take at most {MAX_SUBJECT_BYTES} bytes in UTF-8, and takes {size}"
        )
    return subject


class SessionLimit(NamedTuple):
    """How many live sessions a subject may have with the new one, and whether one too many is refused."""

    max_sessions: int
    refuse: bool


def session_limit(max_sessions: int, when_full: WhenFull, subject: object) -> SessionLimit:
    """Return a valid limit of the sessions of a subject."""
    if type(max_sessions) is not int:
        raise InvalidType("max_sessions", f"max_sessions must be an int, not {type(max_sessions).__name__}")
    if max_sessions < 1:
        raise InvalidParameter(
            "max_sessions", f"max_sessions must be at least 1, not {max_sessions}; None for no limit"
        )
    if when_full not in ("end_oldest", "refuse"):
        raise InvalidParameter("when_full", f"when_full must be 'end_oldest' or 'refuse', not {when_full!r}")
    if subject is None:
        raise InvalidParameter("max_sessions", "max_sessions counts the sessions of a subject; pass subject= too")
    return SessionLimit(max_sessions, when_full == "refuse")


def checked_version(if_version: int) -> int:
    """Return a version to compare with."""
    if isinstance(if_version, bool) or not isinstance(if_version, int):
        raise InvalidType("if_version", f"if_version must be an int or None, not {type(if_version).__name__}")
    if if_version < 1:
        raise InvalidParameter("if_version", f"if_version must be at least 1 (Session.version), not {if_version}")
    return if_version


def is_handle(id: str) -> bool:  # noqa: A002 - named as Session.id is
    """Tell whether a text has the form of a handle."""
    return _HANDLE.fullmatch(id) is not None


def checked_handle(id: str, parameter: str = "id") -> bytes:  # noqa: A002 - named as Session.id is
    """Return the id of a handle."""
    if not isinstance(id, str):
        raise InvalidType(parameter, f"{parameter} must be a str (Session.id), not {type(id).__name__}")
    if not is_handle(id):
        raise InvalidParameter(parameter, f"{parameter} must be 32 hexadecimal digits (Session.id)")
    return bytes.fromhex(id)


def list_of_tokens(tokens: Iterable[str]) -> list[str]:
    """Return an iterable of tokens as a list."""
    if isinstance(tokens, str):
        raise InvalidType("tokens", "tokens must be an iterable of tokens, not a str")
    if not isinstance(tokens, Iterable):
        raise InvalidType("tokens", f"tokens must be an iterable of tokens, not {type(tokens).__name__}")
    return list(tokens)
