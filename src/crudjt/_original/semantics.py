"""The four calls of the original engine as functions of a `Store`, with its parameters, limits and messages.

`CRUDJT` calls them in the process of the master, ``token.TokenService`` for clients, and both answer the same. A
``ttl`` is in whole seconds, ``silence_read`` counts the reads a token is good for, ``None`` is no limit.
"""

import math
from typing import Any, NamedTuple

from crudjt._core import codec
from crudjt._core.validation import MAX_READS, MAX_SECONDS
from crudjt.base import Store
from crudjt.errors import DataTooLarge, InvalidParameter, InvalidType

ORIGINAL_MAX_DATA_BYTES = 256

_END_OF_LIMITS = 2**64
_LONGEST_SPELLING = 9  # MessagePack can encode a number below 128 in one byte or in nine

OriginalAnswer = dict[str, Any]


class CheckedSession(NamedTuple):
    """Checked parameters of a session, in the original's terms."""

    packed: bytes
    ttl: int | None
    silence_read: int | None


def create(store: Store, data: Any, ttl: Any = None, silence_read: Any = None) -> str:
    """Start a session and return its token.

    Raises:
        InvalidParameter: `data` is no dict or packs to more than 256 bytes, or a limit is none.

    """
    checked = checked_session(data, ttl, silence_read)
    return store.create(data, checked.ttl, checked.silence_read)


def read(store: Store, token: Any) -> OriginalAnswer | None:
    """Return data and limits of a session, counting the read; ``None`` if it is unknown, expired or used up.

    ``metadata`` is there where a limit is: ``ttl`` in seconds, rounded up, and ``silence_read``, the reads left.
    """
    session = store.read(checked_token(token))
    if session is None:
        return None
    limits = {}
    if session.expires_in is not None:
        limits["ttl"] = math.ceil(session.expires_in)
    if session.reads_left is not None:
        limits["silence_read"] = session.reads_left
    return {"metadata": limits, "data": session.data} if limits else {"data": session.data}


def update(store: Store, token: Any, data: Any, ttl: Any = None, silence_read: Any = None) -> bool:
    """Replace data and limits of a live session, ``None`` removing a limit; return whether there was one.

    Raises:
        InvalidParameter: as in `create`.

    """
    checked_token(token)
    checked = checked_session(data, ttl, silence_read)
    return store.update(token, data, checked.ttl, checked.silence_read)


def delete(store: Store, token: Any) -> bool:
    """End a session; return whether there was one."""
    return store.delete(checked_token(token))


# What the calls have in common, here and for a client that sends them


def checked_token(token: Any) -> str:
    """Return a token that is text."""
    if not isinstance(token, str):
        raise InvalidType("token", "token must be a string")
    if not token:
        raise InvalidParameter("token", "token can't be blank")
    return token


def checked_session(data: Any, ttl: Any, silence_read: Any) -> CheckedSession:
    """Return what a session is to be; `data` packed, within 256 bytes."""
    if not isinstance(data, dict):
        raise InvalidType("data", "Must be a dictionary")
    lifetime = _checked_limit("ttl", ttl, MAX_SECONDS, " (1000 years)")
    reads = _checked_limit("silence_read", silence_read, MAX_READS, "")
    return CheckedSession(_pack(data), lifetime, reads)  # pyright: ignore[reportUnknownArgumentType] # of any keys


def _checked_limit(name: str, value: Any, most: int, meaning: str) -> int | None:
    if value is None:
        return None
    rule = f"{name} must be a whole number from 1 to {most}{meaning}, or None"
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidType(name, f"{rule}, not {type(value).__name__}")
    if not 0 < value < _END_OF_LIMITS:
        raise InvalidParameter(name, f"{name} should be greater than 0 and less than 2^64")
    if value > most:
        raise InvalidParameter(name, f"{rule}, not {value}")
    return value


def _pack(data: dict[Any, Any]) -> bytes:
    try:
        return codec.pack(data, ORIGINAL_MAX_DATA_BYTES)
    except DataTooLarge:
        raise _too_big() from None


def unpack(packed: bytes) -> Any:
    """Return what MessagePack holds.

    Raises:
        InvalidParameter: it is damaged, or longer than any spelling of 256 bytes. Nothing of it is in the message.

    """
    if len(packed) > _LONGEST_SPELLING * ORIGINAL_MAX_DATA_BYTES:
        raise _too_big()
    return codec.unpack_sent(packed, codec.unpack)


def _too_big() -> InvalidParameter:
    return InvalidParameter("data", f"Hash can not be bigger than {ORIGINAL_MAX_DATA_BYTES} bytesize")
