"""Convert the data of a session to JSON and back, without loss.

Sessions hold types that JSON lacks. They are written as an object with one name:

    {"$bytes": "AAEC"}                      bytes, in Base64
    {"$timestamp": "2026-01-31T12:00:00Z"}  a point in time, ISO 8601 with a zone
    {"$datetime": "2026-01-31T12:00:00"}    a datetime without a zone; likewise $date and $time
    {"$timedelta": [1, 3600, 0]}            days, seconds and microseconds
    {"$decimal": "9.90"}                    a Decimal
    {"$uuid": "00000000-0000-…"}            a UUID
    {"$tuple": [1, 2]}                      a tuple; likewise $set and $frozenset
    {"$float": "NaN"}                       NaN, Infinity or -Infinity
    {"$ext": [50, "AAEC"]}                  an extension type that is unknown here: its code, and its bytes in Base64
    {"$map": [[1, "one"], [2, "two"]]}      a map with a key that is not text, or that looks like one of these objects
"""

import base64
import math
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec

from crudjt._core.type_guards import is_dict, is_list, is_tuple
from crudjt.errors import InvalidParameter

_EXAMPLE = """pass one JSON object, such as '{"user_id": 42}'"""
_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_FLOAT_WORDS = {repr(number): word for word, number in _FLOATS.items()}
_ZONED = Annotated[datetime, msgspec.Meta(tz=True)]


def parse(text: str | bytes) -> Any:
    """Return the value of a JSON document.

    Raises:
        InvalidParameter: not JSON, or one of the objects above is malformed. The document is not in the message.

    """
    try:
        parsed = msgspec.json.decode(text)
    except msgspec.MsgspecError as error:
        raise InvalidParameter("JSON", f"not valid JSON ({error}); {_EXAMPLE}") from None
    except UnicodeError:
        raise InvalidParameter("JSON", f"the JSON is not UTF-8; {_EXAMPLE}") from None
    return from_json(parsed)


def to_json(value: Any) -> Any:
    """Return the JSON form of a value."""
    if is_dict(value):
        if not _has_text_keys(value) or _looks_special(value):
            return {"$map": [[_key_to_json(key), to_json(item)] for key, item in value.items()]}
        return {key: to_json(item) for key, item in value.items()}
    if is_list(value):
        return [to_json(item) for item in value]
    return _scalar_to_json(value)


def _key_to_json(key: Any) -> Any:
    return [_key_to_json(item) for item in key] if is_tuple(key) else to_json(key)


def _scalar_to_json(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": _FLOAT_WORDS[repr(value)]}
    kind = type(value)  # pyright: ignore[reportUnknownVariableType] # of any type
    write = _WRITERS.get(kind)  # pyright: ignore[reportUnknownArgumentType]
    return value if write is None else write(value)


_WRITERS: dict[type, Callable[[Any], Any]] = {
    bytes: lambda value: {"$bytes": _base64(value)},
    datetime: lambda value: {"$timestamp": value} if value.tzinfo else {"$datetime": value.isoformat()},
    date: lambda value: {"$date": str(value)},
    time: lambda value: {"$time": str(value)},
    timedelta: lambda value: {"$timedelta": [value.days, value.seconds, value.microseconds]},
    Decimal: lambda value: {"$decimal": str(value)},
    UUID: lambda value: {"$uuid": str(value)},
    tuple: lambda value: {"$tuple": [to_json(item) for item in value]},
    set: lambda value: {"$set": _sorted_to_json(value)},
    frozenset: lambda value: {"$frozenset": _sorted_to_json(value)},
    msgspec.msgpack.Ext: lambda value: {"$ext": [value.code, _base64(bytes(value.data))]},
}


def _sorted_to_json(value: Iterable[Any]) -> list[Any]:
    return sorted(map(to_json, value), key=msgspec.json.encode)


def _has_text_keys(value: dict[Any, Any]) -> bool:
    return all(isinstance(key, str) for key in value)


def _looks_special(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)) in _READERS


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_json(value: Any) -> Any:
    """Return the value that `to_json` has written.

    Raises:
        InvalidParameter: one of the objects above is malformed.

    """
    if is_list(value):
        return [from_json(item) for item in value]
    if not is_dict(value):
        return value
    if not _looks_special(value):
        return {name: from_json(content) for name, content in value.items()}
    ((name, content),) = value.items()
    try:
        return _READERS[name](content)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, msgspec.MsgspecError):
        raise InvalidParameter("JSON", f'malformed {{"{name}": …}} in the JSON; see docs/cli.md') from None


def _read_bytes(content: Any) -> bytes:
    return base64.b64decode(content, validate=True)


def _read_timestamp(content: Any) -> datetime:
    return msgspec.convert(content, _ZONED)


def _read_ext(content: Any) -> msgspec.msgpack.Ext:
    code, data = msgspec.convert(content, tuple[int, str])
    return msgspec.msgpack.Ext(code, _read_bytes(data))


def _read_datetime(content: Any) -> datetime:
    value = datetime.fromisoformat(content)
    if value.tzinfo is not None:
        raise ValueError
    return value


def _read_timedelta(content: Any) -> timedelta:
    days, seconds, microseconds = msgspec.convert(content, tuple[int, int, int])
    return timedelta(days, seconds, microseconds)


def _read_decimal(content: Any) -> Decimal:
    return Decimal(msgspec.convert(content, str))


def _read_items(content: Any) -> list[Any]:
    return [from_json(item) for item in msgspec.convert(content, list[Any])]


def _read_set(content: Any) -> set[Any]:
    return set(_read_items(content))


def _read_frozenset(content: Any) -> frozenset[Any]:
    return frozenset(_read_items(content))


def _read_map(content: Any) -> dict[Any, Any]:
    pairs = msgspec.convert(content, list[tuple[Any, Any]])
    return {_as_key(from_json(key)): from_json(item) for key, item in pairs}


def _as_key(value: Any) -> Any:
    return tuple(_as_key(item) for item in value) if is_list(value) or is_tuple(value) else value


_READERS: dict[str, Callable[[Any], Any]] = {
    "$bytes": _read_bytes,
    "$timestamp": _read_timestamp,
    "$datetime": _read_datetime,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$timedelta": _read_timedelta,
    "$decimal": _read_decimal,
    "$uuid": UUID,
    "$tuple": lambda content: tuple(_read_items(content)),
    "$set": _read_set,
    "$frozenset": _read_frozenset,
    "$float": _FLOATS.__getitem__,
    "$ext": _read_ext,
    "$map": _read_map,
}
