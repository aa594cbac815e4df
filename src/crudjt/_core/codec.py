"""Encode the data of a session as MessagePack, so that what is read equals what was given, type by type."""

import sys
from collections.abc import Callable
from typing import Any

import msgspec

from crudjt._core.extensions import MAX_DEPTH, Malformed, NotCarried, TooDeep, carried, is_plain, restored
from crudjt._core.type_guards import is_dict
from crudjt._core.unpackable import as_dict_hint, unpackable
from crudjt.errors import DataTooLarge, InvalidParameter, InvalidType

_encode = msgspec.msgpack.Encoder().encode

unpack: Callable[[bytes], dict[Any, Any]] = msgspec.msgpack.Decoder(ext_hook=restored).decode
"""Returns data that `pack` has packed."""

unpack_map: Callable[[bytes], dict[Any, Any]] = msgspec.msgpack.Decoder(dict[Any, Any], ext_hook=restored).decode
"""Returns the data of a session that a server has packed."""

_ANY_DEPTH = sys.maxsize
UNPACKABLE = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError, NotCarried, TooDeep)
"""The errors of `pack_value`."""

_UNPACKING = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


class Packed(dict[Any, Any]):
    """Data whose bytes are known, so that a store does not pack it again. It must not change."""

    __slots__ = ("packed",)

    packed: bytes


def pack(data: dict[Any, Any], max_data_bytes: int) -> bytes:
    """Return data as MessagePack. `docs/types.md` lists what it may hold.

    Raises:
        InvalidType: not a dict, or it holds an object of a type that is not stored.
        InvalidParameter: it holds a value that cannot be stored, or is nested too deeply. The message has the path and
            the type of the value, not the value.
        DataTooLarge: more than `max_data_bytes`.

    """
    if type(data) is not dict:
        if isinstance(data, Packed) and len(data.packed) <= max_data_bytes:
            return data.packed
        data = _as_dict(data)
    try:
        packed = _encode(data if is_plain(data) else carried(data))
    except UNPACKABLE as error:
        raise unpackable(data, error) from None
    if len(packed) > max_data_bytes:
        raise DataTooLarge(len(packed), max_data_bytes)
    return packed


def _as_dict(data: object) -> dict[Any, Any]:
    if not is_dict(data):
        raise InvalidType("data", f"data must be a dict, not {type(data).__name__}{as_dict_hint(data)}")
    return dict(data)


def pack_plain(value: Any) -> bytes:
    """Return a value that is plain, as `extensions.is_plain` tells, as `pack` packs it inside of data.

    Raises:
        UNPACKABLE: one of these errors; it cannot be stored.

    """
    return _encode(value)


def pack_value(value: Any) -> bytes:
    """Return any value as `pack` packs it inside of data.

    Raises:
        UNPACKABLE: one of these errors; it cannot be stored.

    """
    plain = is_plain(value) if type(value) is dict else is_plain([value])  # pyright: ignore[reportUnknownArgumentType] # of any type
    return _encode(value if plain else carried(value))


def pack_again(data: dict[Any, Any]) -> bytes:
    """Return what `unpack` returned as MessagePack, also where a newer version stored it, with types of its own."""
    if is_plain(data, _ANY_DEPTH):
        return _encode(data)
    return _encode(carried(data, _ANY_DEPTH, _ANY_DEPTH, foreign=True))


def unpack_sent(packed: bytes, decode: Callable[[bytes], dict[Any, Any]] = unpack_map) -> dict[Any, Any]:
    """Return the data that a client has sent. With `unpack` to decode it, it may be no dict.

    Raises:
        InvalidParameter: it is no map, or malformed. Nothing of it is in the message.

    """
    try:
        return decode(packed)
    except Malformed as error:
        raise InvalidParameter("data", f"data is malformed MessagePack: {error}") from None
    except _UNPACKING as error:
        raise InvalidParameter(
            "data",
            f"data must be a map in MessagePack, nested at most {MAX_DEPTH} deep; unpacking it failed with "
            f"{type(error).__name__}",
        ) from None
