"""Merge session data key by key, so that requests that run concurrently keep each other's changes.

The data that a request found is packed once. What it leaves is compared with those bytes, and its keys are looked at
only where the bytes differ. Where two requests changed the same key, the last writer wins.
"""

from collections.abc import Callable, Mapping
from typing import Any

from crudjt._core.codec import UNPACKABLE, Packed, pack_plain, pack_value, unpack
from crudjt._core.extensions import SCALARS, is_plain
from crudjt._core.session import Session, stored_data
from crudjt._core.type_guards import is_list, is_mapping, is_set, is_tuple
from crudjt.contrib._sessions.reserved import join, split

_EXACT: dict[type, Callable[[Any], Any]] = {str: str.__str__, int: int.__int__, float: float.__float__}


def packed(value: Any) -> bytes:
    """Return the bytes of a value, for comparison; empty if it cannot be stored, which no stored value is equal to."""
    # The sessions of frameworks are subclasses of dict, which note an access.
    copied = dict[Any, Any].copy(value) if isinstance(value, dict) else value  # pyright: ignore[reportUnknownArgumentType]
    try:
        return pack_value(copied)
    except UNPACKABLE:
        pass
    try:
        return pack_value(_plain(copied))
    except UNPACKABLE:
        return b""


def packed_data(session: Session) -> bytes:
    """Return the data of a session that was read, packed; as it is stored, where the session holds that."""
    stored = stored_data(session)
    return packed(session.data) if stored is None else stored


class Storable(Packed):
    """Data that a store takes as it is, with the values that may change inside: lists and dicts."""

    __slots__ = ("inside",)

    inside: list[Any]


def changeable(data: dict[Any, Any]) -> list[Any]:
    """Return the values that may change inside while no key is set, and some that may not."""
    return [value for value in dict[Any, Any].values(data) if type(value) not in SCALARS]


def is_same(before: bytes, data: dict[Any, Any], inside: list[Any]) -> bool:
    """Return whether data, in which no key was set since it was read from `before`, is still the same.

    `False` may also mean that another program packed it, or that it holds what is not plain.
    """
    return not inside or (is_plain(inside) and pack_plain(dict[Any, Any].copy(data)) == before)


def containers(data: dict[Any, Any]) -> list[Any] | None:
    """Return the values that may change inside; ``None`` if data is not plain, as `extensions.is_plain` tells."""
    if not SCALARS.issuperset(map(type, data)):
        return None
    inside = changeable(data)
    return inside if not inside or is_plain(inside) else None


def storable(data: Mapping[Any, Any]) -> tuple[dict[Any, Any], bytes]:
    """Return a copy of data that the store takes, and its bytes, as `packed`.

    Values of subclasses become equal values of the type itself. Frameworks put them into sessions (`SafeString`,
    `IntEnum`), and the store refuses them. What else it refuses stays.
    """
    copied = dict[Any, Any].copy(data) if isinstance(data, dict) else dict(data)
    try:
        inside = containers(copied)
        if inside is None:
            return copied, pack_value(copied)
        stored = Storable(copied)
        stored.inside = inside
        stored.packed = pack_plain(copied)
    except UNPACKABLE:
        pass
    else:
        return stored, stored.packed
    plain: dict[Any, Any] = _plain(copied)
    try:
        return plain, pack_value(plain)
    except UNPACKABLE:
        return plain, b""


def _plain(value: Any) -> Any:
    if is_mapping(value):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if is_list(value):
        return [_plain(each) for each in value]
    if is_tuple(value):
        return tuple(_plain(each) for each in value)
    if is_set(value):
        return (set if isinstance(value, set) else frozenset)(_plain(each) for each in value)
    for base, exact in _EXACT.items():
        if isinstance(value, base) and type(value) is not bool:
            return exact(value)
    return value


def merge(before: bytes, mine: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the stored data of other requests, with the keys that this request changed or removed applied to it.

    Args:
        before: the packed data that this request found.
        mine: the data that it leaves.
        theirs: the data that is stored now.

    """
    found = unpack(before)
    kept = {key: value for key, value in theirs.items() if key in mine or key not in found}
    return join(*split(kept | own(before, mine)))


def own(before: bytes, mine: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return only the keys that this request set or changed."""
    found = unpack(before)
    return {key: value for key, value in mine.items() if key not in found or packed(found[key]) != packed(value)}


def adopt(data: dict[Any, Any], merged: Mapping[Any, Any]) -> None:
    """Change data in place to the merged data. Values that no other request changed stay the same objects.

    Keys get the order that they are stored in: in another one, equal data would look changed. It writes past the
    methods of a subclass: what comes from the store is no change by this request.
    """
    adopted = {
        key: data[key] if key in data and packed(data[key]) == packed(value) else value for key, value in merged.items()
    }
    dict[Any, Any].clear(data)
    dict[Any, Any].update(data, adopted)
