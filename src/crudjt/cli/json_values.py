"""Convert the data of a session to JSON and back, without loss.

MessagePack has types that JSON lacks. They are written as an object with one name:

    {"$bytes": "AAEC"}                      bytes, in Base64
    {"$timestamp": "2026-01-31T12:00:00Z"}  a point in time, ISO 8601 with a zone
    {"$float": "NaN"}                       NaN, Infinity or -Infinity
    {"$ext": [5, "AAEC"]}                   an extension type: its code, and its bytes in Base64
    {"$map": [[1, "one"], [2, "two"]]}      a map with a key that is not text, or that looks like one of these objects
"""

import base64
import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec

from crudjt._core.type_guards import is_dict, is_list
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
    return _from_json(parsed)


def to_json(value: Any) -> Any:
    """Return the JSON form of a value."""
    if is_dict(value):
        if not _has_text_keys(value) or _looks_special(value):
            return {"$map": [[to_json(key), to_json(item)] for key, item in value.items()]}
        return {key: to_json(item) for key, item in value.items()}
    if is_list(value):
        return [to_json(item) for item in value]
    return _scalar_to_json(value)


def _scalar_to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": _base64(value)}
    if isinstance(value, datetime):
        return {"$timestamp": value}
    if isinstance(value, msgspec.msgpack.Ext):
        return {"$ext": [value.code, _base64(bytes(value.data))]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": _FLOAT_WORDS[repr(value)]}
    return value


def _has_text_keys(value: dict[Any, Any]) -> bool:
    return all(isinstance(key, str) for key in value)


def _looks_special(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)) in _READERS


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _from_json(value: Any) -> Any:
    if is_list(value):
        return [_from_json(item) for item in value]
    if not is_dict(value):
        return value
    if not _looks_special(value):
        return {name: _from_json(content) for name, content in value.items()}
    ((name, content),) = value.items()
    try:
        return _READERS[name](content)
    except (LookupError, TypeError, ValueError, OverflowError, msgspec.MsgspecError):
        raise InvalidParameter("JSON", f'malformed {{"{name}": …}} in the JSON; see docs/cli.md') from None


def _read_bytes(content: Any) -> bytes:
    return base64.b64decode(content, validate=True)


def _read_timestamp(content: Any) -> datetime:
    return msgspec.convert(content, _ZONED)


def _read_ext(content: Any) -> msgspec.msgpack.Ext:
    code, data = msgspec.convert(content, tuple[int, str])
    return msgspec.msgpack.Ext(code, _read_bytes(data))


def _read_map(content: Any) -> dict[Any, Any]:
    pairs = msgspec.convert(content, list[tuple[Any, Any]])
    return {_as_key(_from_json(key)): _from_json(item) for key, item in pairs}


def _as_key(value: Any) -> Any:
    return tuple(_as_key(item) for item in value) if is_list(value) else value


_READERS: dict[str, Callable[[Any], Any]] = {
    "$bytes": _read_bytes,
    "$timestamp": _read_timestamp,
    "$float": _FLOATS.__getitem__,
    "$ext": _read_ext,
    "$map": _read_map,
}
