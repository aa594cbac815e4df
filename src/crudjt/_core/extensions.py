"""Values that MessagePack lacks, as its extension types. The numbers and payloads are part of the format.

``docs/format.md`` describes them. A payload that Python would not write for the value it denotes is refused, so that
what is read can be written again.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

TUPLE, SET, FROZENSET, DATETIME, DATE, TIME, TIMEDELTA, DECIMAL, UUID_CODE = range(1, 10)

MAX_DEPTH = 256  # levels of containers; newer CPythons write what older ones, or deep in a call, cannot read
MAX_WRAPPED = 64  # levels of tuples and sets: to unpack one takes four levels of the interpreter's recursion limit

SCALARS = frozenset({type(None), bool, int, float, str, bytes})
"""The types that MessagePack has, besides those of lists and dicts."""

_Ext = msgspec.msgpack.Ext
_encode = msgspec.msgpack.Encoder().encode


class NotCarried(Exception):
    """A value is of a type that is not stored."""


class TooDeep(Exception):
    """Containers are nested too deeply."""


class Malformed(ValueError):
    """Bytes hold an extension type with a payload that it cannot have."""


def is_plain(data: dict[Any, Any] | list[Any], depth: int = MAX_DEPTH) -> bool:
    """Tell whether all values have types of MessagePack exactly, so that they are read as they are written.

    One frame for each container; loops over keys and values take half the time of `map` and `issuperset`.
    """
    if type(data) is dict:
        for key in data:
            if type(key) is not str and type(key) not in SCALARS:
                return False
        inside: Any = data.values()
    else:
        inside = data
    for value in inside:
        kind = type(value)  # pyright: ignore[reportUnknownVariableType] # of any type
        if kind is str or kind is int or kind in SCALARS:
            continue
        if (kind is dict or kind is list) and depth > 1 and is_plain(value, depth - 1):
            continue
        return False
    return True


def carried(value: Any, depth: int = MAX_DEPTH, wrapped: int = MAX_WRAPPED, *, foreign: bool = False) -> Any:
    """Return a value as types of MessagePack, its extension types among them.

    Args:
        value: the value.
        depth: how many levels of containers it may have.
        wrapped: how many of them may be tuples and sets.
        foreign: whether it may hold extension types that are unknown here, as `restored` returns them.

    Raises:
        NotCarried: it is, or holds, a value of a type that is not stored.
        TooDeep: more than `depth` levels of containers, or more than `wrapped` of tuples and sets.

    """
    kind = type(value)  # pyright: ignore[reportUnknownVariableType] # of any type
    if kind in SCALARS:
        return value
    write = _WRITERS.get(kind)  # pyright: ignore[reportUnknownArgumentType]
    if write is not None:
        return write(value)
    if kind not in CONTAINERS:
        if foreign and kind is _Ext:
            return value
        raise NotCarried
    if not depth or not wrapped:
        raise TooDeep
    if kind is dict:
        return {carried_key(key): carried(each, depth - 1, wrapped, foreign=foreign) for key, each in value.items()}
    if kind is list:
        return [carried(each, depth - 1, wrapped, foreign=foreign) for each in value]
    items = [_encode(carried(each, depth - 1, wrapped - 1, foreign=foreign)) for each in value]
    if kind is not tuple:
        items.sort()  # equal sets are packed to equal bytes
    return _Ext(CONTAINERS[kind], _encode([msgspec.Raw(item) for item in items]))


def carried_key(key: Any, depth: int = MAX_DEPTH) -> Any:
    """Return a key; of tuples of keys, MessagePack makes lists, which are read as tuples again.

    Raises:
        NotCarried, TooDeep: as `carried`.

    """
    if type(key) in SCALARS:
        return key
    if type(key) is datetime and key.tzinfo is not None:
        return _zoned(key)
    if type(key) is not tuple:
        raise NotCarried
    if not depth:
        raise TooDeep
    members: tuple[Any, ...] = key  # pyright: ignore[reportUnknownVariableType]
    return tuple(carried_key(each, depth - 1) for each in members)


def restored(code: int, payload: memoryview) -> Any:
    """Return the value of an extension type; one of an unknown type as `msgspec.msgpack.Ext`, which is not stored.

    Raises:
        Malformed: the payload is not one of the type.

    """
    read = _READERS.get(code)
    if read is None:
        return _Ext(code, bytes(payload))
    try:
        return read(payload)
    except Malformed:  # of a type inside
        raise
    except (ArithmeticError, TypeError, ValueError, msgspec.MsgspecError):
        raise Malformed(f"malformed payload of extension type {code}") from None


def _zoned(value: datetime) -> Any:
    if value.tzinfo is None:
        return _Ext(DATETIME, value.isoformat().encode())
    if value.utcoffset() is None:
        raise NotCarried
    return value.astimezone(timezone.utc)  # MessagePack has a type for it


def _time(value: time) -> Any:
    if value.tzinfo is not None:
        raise NotCarried
    return _Ext(TIME, value.isoformat().encode())


def _timedelta(value: timedelta) -> Any:
    return _Ext(TIMEDELTA, _encode([value.days, value.seconds, value.microseconds]))


CONTAINERS: dict[type, int] = {dict: 0, list: 0, tuple: TUPLE, set: SET, frozenset: FROZENSET}
"""The containers that are stored, and their extension types."""

_WRITERS: dict[type, Callable[[Any], Any]] = {
    datetime: _zoned,
    date: lambda value: _Ext(DATE, value.isoformat().encode()),
    time: _time,
    timedelta: _timedelta,
    Decimal: lambda value: _Ext(DECIMAL, str(value).encode()),
    UUID: lambda value: _Ext(UUID_CODE, value.bytes),
}

_unpack_list = msgspec.msgpack.Decoder(list[Any], ext_hook=restored).decode
_unpack_duration = msgspec.msgpack.Decoder(tuple[int, int, int]).decode


def _read_set(payload: memoryview) -> set[Any]:
    items = _unpack_list(payload)
    found = set(items)
    if len(found) != len(items):
        raise ValueError
    return found


def _read_frozenset(payload: memoryview) -> frozenset[Any]:
    items = _unpack_list(payload)
    found = frozenset(items)
    if len(found) != len(items):
        raise ValueError
    return found


def _canonical(value: Any, text: str, payload: memoryview) -> Any:
    if text != str(payload, "ascii"):
        raise ValueError
    return value


def _read_datetime(payload: memoryview) -> datetime:
    value = datetime.fromisoformat(str(payload, "ascii"))
    return _canonical(value, value.replace(tzinfo=None).isoformat(), payload)  # type: ignore[no-any-return]


def _read_time(payload: memoryview) -> time:
    value = time.fromisoformat(str(payload, "ascii"))
    return _canonical(value, value.replace(tzinfo=None).isoformat(), payload)  # type: ignore[no-any-return]


def _read_date(payload: memoryview) -> date:
    value = date.fromisoformat(str(payload, "ascii"))
    return _canonical(value, value.isoformat(), payload)  # type: ignore[no-any-return]


def _read_timedelta(payload: memoryview) -> timedelta:
    parts = _unpack_duration(payload)
    value = timedelta(*parts)
    if parts != (value.days, value.seconds, value.microseconds):
        raise ValueError
    return value


def _read_decimal(payload: memoryview) -> Decimal:
    value = Decimal(str(payload, "ascii"))
    return _canonical(value, str(value), payload)  # type: ignore[no-any-return]


_READERS: dict[int, Callable[[memoryview], Any]] = {
    TUPLE: lambda payload: tuple(_unpack_list(payload)),
    SET: _read_set,
    FROZENSET: _read_frozenset,
    DATETIME: _read_datetime,
    DATE: _read_date,
    TIME: _read_time,
    TIMEDELTA: _read_timedelta,
    DECIMAL: _read_decimal,
    UUID_CODE: lambda payload: UUID(bytes=bytes(payload)),
}
