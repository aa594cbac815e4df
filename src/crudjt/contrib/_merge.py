"""Requests of one session that run at the same time each keep what they changed, key by key.

What a request found is packed once, key by key; what it leaves is compared with that. Where two requests changed the
same key, the last to write wins.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

_encode = msgspec.msgpack.Encoder().encode


def plain(value: Any) -> Any:
    """Return a value without subclasses of the types that MessagePack has: `SafeString`, `IntEnum`.

    Frameworks put them into sessions; the store takes exact types only.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, Mapping):
        return {plain(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    for base, exact in _EXACT.items():
        if isinstance(value, base):
            return exact(value)
    return value


_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_EXACT: dict[type, Callable[[Any], Any]] = {str: str.__str__, int: int.__int__, float: float.__float__}


class Before:
    """The data of a session as a request found it."""

    def __init__(self, data: Mapping[Any, Any]) -> None:
        """Take the data before anything changes it."""
        self._packed = {key: _packed(value) for key, value in data.items()}

    def changed(self, data: Mapping[Any, Any]) -> bool:
        """Tell whether data is not what the request found, also deep inside its values."""
        packed = self._packed
        return len(packed) != len(data) or any(self.differs(key, value) for key, value in data.items())

    def merged(self, mine: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> dict[Any, Any]:
        """Return what another request has stored meanwhile, with the keys over it that this one changed or removed."""
        kept = {key: value for key, value in theirs.items() if key in mine or key not in self._packed}
        return kept | {key: value for key, value in mine.items() if self.differs(key, value)}

    def differs(self, key: Any, value: Any) -> bool:
        """Tell whether a value is not the one the request found under a key."""
        packed = self._packed.get(key)
        return packed is None or packed != _packed(value)


def _packed(value: Any) -> bytes | None:
    """Return a value's bytes, ``None`` where it has none: such a value counts as changed, and the store refuses it."""
    try:
        return _encode(plain(value))
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return None
