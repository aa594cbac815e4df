"""Merge session data key by key, so that requests that run concurrently keep each other's changes.

The data that a request found is packed once. What it leaves is compared with those bytes, and its keys are looked at
only where the bytes differ. Where two requests changed the same key, the last writer wins.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from crudjt._core.type_guards import is_list, is_mapping

_EXACT: dict[type, Callable[[Any], Any]] = {str: str.__str__, int: int.__int__, float: float.__float__}
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})


def _exact(value: Any) -> Any:
    """Return a value of a subclass as the type that MessagePack has."""
    for base, exact in _EXACT.items():
        if isinstance(value, base):
            return exact(value)
    raise TypeError


_encode = msgspec.msgpack.Encoder().encode
_encode_any = msgspec.msgpack.Encoder(enc_hook=_exact).encode
_decode: Callable[[bytes], dict[Any, Any]] = msgspec.msgpack.Decoder().decode
_UNFIT = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


def packed(value: Any) -> bytes:
    """Return the bytes of a value, for comparison; empty if it cannot be stored, which no stored value is equal to."""
    try:
        return _encode_any(value)
    except _UNFIT:
        return b""


def storable(data: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a copy of data that the store takes: subclasses of str, int and float become those types.

    Frameworks put them into sessions (`SafeString`, `IntEnum`), and the store refuses them. What else it refuses stays.
    """
    try:
        _encode(data)
    except _UNFIT:
        plain: dict[Any, Any] = _plain(data)
        return plain
    return dict(data)


def _plain(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if is_mapping(value):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if is_list(value):
        return [_plain(each) for each in value]
    try:
        return _exact(value)
    except TypeError:
        return value


def merge(before: bytes, mine: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the stored data of other requests, with the keys that this request changed or removed applied to it.

    Args:
        before: the packed data that this request found.
        mine: the data that it leaves.
        theirs: the data that is stored now.

    """
    found = _decode(before)
    kept = {key: value for key, value in theirs.items() if key in mine or key not in found}
    return kept | own(before, mine)


def own(before: bytes, mine: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return only the keys that this request set or changed."""
    found = _decode(before)
    return {key: value for key, value in mine.items() if key not in found or packed(found[key]) != packed(value)}


def adopt(data: dict[Any, Any], merged: Mapping[Any, Any]) -> None:
    """Change data in place to the merged data. Values that no other request changed stay the same objects.

    It writes past the methods of a subclass: what comes from the store is no change by this request.
    """
    for key in data.keys() - merged.keys():
        dict[Any, Any].__delitem__(data, key)
    for key, value in merged.items():
        if key not in data or packed(data[key]) != packed(value):
            dict[Any, Any].__setitem__(data, key, value)
