"""Explain why data cannot be stored: the path and the type of the first value that cannot.

Runs only after packing failed, so it may try each value on its own. No value is in a message. A path shows the keys
that are short identifiers, as names in a program are; other keys appear as ``…``, since they may be data.
"""

from collections.abc import Iterator
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from crudjt._core.extensions import (
    CONTAINERS,
    MAX_DEPTH,
    MAX_WRAPPED,
    SCALARS,
    NotCarried,
    TooDeep,
    carried,
    carried_key,
)
from crudjt.errors import InvalidParameter, InvalidType

_SHOWN_KEYS = 8  # of a path
_SHOWN_CHARACTERS = 21  # of a key; a token has more
_ERRORS = (TypeError, ValueError, OverflowError, msgspec.MsgspecError, NotCarried)

Path = tuple[Any, ...]


class Position(int):
    """The position of a value in a list."""


def unpackable(data: dict[Any, Any], error: Exception) -> InvalidParameter:
    """Return the error for data that failed to pack with `error`."""
    for path, value, is_key in _values(data):
        if not _is_packable(value, is_key):
            return _refusal(f"data{_joined(path)}{' has a key that' if is_key else ''}", value, is_key)
    if isinstance(error, RecursionError | TooDeep):
        return InvalidParameter(
            "data",
            f"data is nested too deeply; at most {MAX_DEPTH} levels of dicts and lists are allowed, and {MAX_WRAPPED} "
            "of tuples and sets",
        )
    return InvalidParameter("data", f"data cannot be stored as MessagePack ({type(error).__name__})")


_LIMITED: dict[type, str] = {  # types of which some values cannot be stored
    int: "an int of more than 64 bits; store it as a str",
    str: "a str with a lone surrogate, which UTF-8 cannot encode",
    datetime: "a datetime that has no time in UTC; leave its zone out",
    time: "a time with a zone; store a datetime, or leave the zone out",
}


def _refusal(place: str, value: object, is_key: bool) -> InvalidParameter:
    kind = type(value)
    if kind in _LIMITED and (kind in SCALARS or not is_key):
        return InvalidParameter("data", f"{place} is {_LIMITED[kind]}")
    if is_key:
        return InvalidType(
            "data", f"{place} is of type {kind.__name__!r}, which no key can be; make it a str or an int"
        )
    if isinstance(value, msgspec.msgpack.Ext):
        return InvalidParameter("data", f"{place} is of extension type {value.code}, which this version does not know")
    return InvalidType("data", f"{place} is of type {kind.__name__!r}, which cannot be stored{type_hint(value)}")


def as_dict_hint(value: object) -> str:
    """Return how to make a dict of a model or dataclass, to be added to a message; "" for other types."""
    if hasattr(type(value), "model_dump"):
        return "; pass its model_dump()"
    if is_dataclass(value) and not isinstance(value, type):
        return "; pass dataclasses.asdict() of it"
    return ""


def type_hint(value: object) -> str:
    """Return how to make a value that can be stored, to be added to a message; "" for types that are not known."""
    if hint := as_dict_hint(value):
        return hint
    if isinstance(value, bytearray | memoryview):
        return "; convert it to bytes"
    for name, hint in _HINTS.items():
        if hasattr(type(value), name):
            return f"; pass {hint}"
    base = next((base for base in _BASES if isinstance(value, base)), None)
    return "" if base is None else f"; convert it to a plain {base.__name__}"


_HINTS = {  # by an attribute of the type
    "__members__": "its .value",  # an Enum
    "tolist": "its tolist()",  # numpy
    "_asdict": "its _asdict(), or tuple() of it",  # a named tuple
}
_BASES = (dict, list, tuple, set, frozenset, str, bytes, int, float, datetime, date, timedelta, Decimal, UUID)


def _values(data: dict[Any, Any]) -> Iterator[tuple[Path, Any, bool]]:
    """Yield path, value, and whether it is a key, for each key and each value that is no container."""
    seen: set[int] = set()  # containers may hold themselves
    waiting: list[tuple[Path, Any]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        kind = type(value)  # pyright: ignore[reportUnknownVariableType] # of any type
        if kind not in CONTAINERS:
            yield path, value, False
            continue
        if id(value) in seen or len(path) >= MAX_DEPTH:
            continue
        seen.add(id(value))
        if kind is dict:
            yield from ((path, key, True) for key in value)
            inside = [((*path, key), each) for key, each in value.items()]
        else:
            inside = [((*path, Position(position)), each) for position, each in enumerate(value)]
        waiting += reversed(inside)


def _is_packable(value: object, is_key: bool) -> bool:
    try:
        msgspec.msgpack.encode(carried_key(value) if is_key else carried(value))
    except (RecursionError, TooDeep):  # not because of its type
        return True
    except _ERRORS:
        return False
    return True


def _joined(path: Path) -> str:
    shown = "".join(f"[{_key(key)}]" for key in path[:_SHOWN_KEYS])
    return shown if len(path) <= _SHOWN_KEYS else f"{shown}…"


def _key(key: object) -> str:
    if type(key) is str:
        return ascii(key) if key.isidentifier() and len(key) <= _SHOWN_CHARACTERS else "…"
    return str(key) if isinstance(key, Position) else "…"
