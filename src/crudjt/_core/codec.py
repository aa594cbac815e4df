"""Encode the data of a session as MessagePack, and refuse data that some Python could not read again."""

from collections.abc import Callable
from typing import Any

import msgspec

from crudjt._core.unpackable import MAX_DEPTH, as_dict_hint, too_deep, unpackable
from crudjt.errors import DataTooLarge, InvalidType

_NESTING = frozenset({dict, list, tuple})  # types that unpacking returns
_CONTAINERS = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])  # the first bytes of maps and lists

_encode = msgspec.msgpack.Encoder().encode
unpack: Callable[[bytes], dict[Any, Any]] = msgspec.msgpack.Decoder().decode
"""Returns data that `pack` has packed."""


def pack(data: dict[Any, Any], max_data_bytes: int) -> bytes:
    """Return data as MessagePack.

    Raises:
        InvalidType: not a dict, or it holds an object that MessagePack cannot store.
        InvalidParameter: it holds a value that MessagePack cannot store, or is nested more than `MAX_DEPTH` deep. The
            message has the path and the type of the value, not the value.
        DataTooLarge: more than `max_data_bytes`.

    """
    if not isinstance(data, dict):
        raise InvalidType("data", f"data must be a dict, not {type(data).__name__}{as_dict_hint(data)}")
    try:
        packed = _encode(data)
        unpacked = unpack(packed)  # some data packs and does not unpack, such as a map as a key
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise unpackable(data, error) from None
    if len(packed) > max_data_bytes:
        raise DataTooLarge(len(packed), max_data_bytes)
    # Each level takes a byte that is not ASCII.
    if len(packed) > MAX_DEPTH and len(packed) - len(packed.translate(None, _CONTAINERS)) > MAX_DEPTH:
        _check_depth(unpacked)
    return packed


def _check_depth(data: Any) -> None:
    level = [data]
    for _ in range(MAX_DEPTH):
        inside: list[Any] = []
        for each in level:
            inside += each
            if type(each) is dict:
                inside += each.values()
        level = [each for each in inside if type(each) in _NESTING]
        if not level:
            return
    raise too_deep()
