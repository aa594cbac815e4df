"""Explain why data cannot be stored as MessagePack: the path and the type of the first value that cannot.

Runs only after packing failed, so it may try each value on its own. No value is in a message. A path shows the keys
that are short identifiers, as names in a program are; other keys appear as ``…``, since they may be data.
"""

from collections.abc import Collection, Iterator
from dataclasses import is_dataclass
from typing import Any, TypeGuard

import msgspec

from crudjt._core.type_guards import is_dict
from crudjt.errors import InvalidParameter, InvalidType

MAX_DEPTH = 256  # levels of maps and lists; newer CPythons write what older ones, or deep in a call, cannot read

_SHOWN_KEYS = 8  # of a path
_SHOWN_CHARACTERS = 21  # of a key; a token has more
_CONTAINERS = (dict, list, tuple, set, frozenset)
_ERRORS = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)

Path = tuple[Any, ...]


class Position(int):
    """The position of a value in a list."""


def unpackable(data: dict[Any, Any], error: Exception) -> InvalidParameter:
    """Return the error for data that failed to pack with `error`."""
    for path, value, is_key in _values(data):
        if not _fails({value: None} if is_key else value):
            continue
        place = f" at {_joined(path)}" if path else ""
        if type(value) is int:
            return InvalidParameter(
                "data",
                f"data holds an int of more than 64 bits{place}, which MessagePack cannot store; store it as a str",
            )
        if type(value) is str:
            return InvalidParameter(
                "data", f"data holds a str with a lone surrogate{place}, which MessagePack cannot store"
            )
        what = "a key" if is_key else "an object"
        return InvalidType(
            "data",
            f"data holds {what} of type {type(value).__name__!r}{place}, which MessagePack cannot store"
            f"{as_dict_hint(value)}",
        )
    if isinstance(error, RecursionError):
        return too_deep()
    return InvalidParameter("data", f"data cannot be stored as MessagePack ({type(error).__name__})")


def too_deep() -> InvalidParameter:
    """Return the error for data of more levels than `MAX_DEPTH`."""
    return InvalidParameter(
        "data", f"data is nested too deeply; at most {MAX_DEPTH} levels of dicts and lists are allowed"
    )


def as_dict_hint(value: object) -> str:
    """Return how to make a dict of a model or dataclass, to be added to a message; "" for other types."""
    if hasattr(type(value), "model_dump"):
        return "; pass its model_dump()"
    if is_dataclass(value):
        return "; pass dataclasses.asdict() of it"
    return ""


def _values(data: dict[Any, Any]) -> Iterator[tuple[Path, Any, bool]]:
    """Yield path, value, and whether it is a key, for each key and each value that is no container."""
    seen: set[int] = set()  # containers may hold themselves
    waiting: list[tuple[Path, Any]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if not _is_container(value):
            yield path, value, False
            continue
        if id(value) in seen or len(path) >= MAX_DEPTH:
            continue
        seen.add(id(value))
        if is_dict(value):
            yield from ((path, key, True) for key in value)
            inside = [((*path, key), each) for key, each in value.items()]
        else:
            inside = [((*path, Position(position)), each) for position, each in enumerate(value)]
        waiting += reversed(inside)


def _is_container(value: object) -> TypeGuard[Collection[Any]]:
    return isinstance(value, _CONTAINERS)


def _fails(value: object) -> bool:
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(value))
    except _ERRORS:
        return True
    return False


def _joined(path: Path) -> str:
    shown = "".join(f"[{_key(key)}]" for key in path[:_SHOWN_KEYS])
    return shown if len(path) <= _SHOWN_KEYS else f"{shown}…"


def _key(key: object) -> str:
    if type(key) is str:
        return ascii(key) if key.isidentifier() and len(key) <= _SHOWN_CHARACTERS else "…"
    return str(key) if isinstance(key, Position) else "…"
