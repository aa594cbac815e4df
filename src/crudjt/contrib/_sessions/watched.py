"""A session that notes by itself that it was looked at, for frameworks that do not."""

from _collections_abc import dict_items, dict_keys, dict_values
from collections.abc import Iterator
from typing import Any

from crudjt.contrib._sessions.browser import BrowserSession
from crudjt.contrib._sessions.calls import Data
from crudjt.contrib._sessions.reserved import join


class WatchedSession(BrowserSession):
    """`request.session` of Litestar, which returns it without noting that the response depends on it."""

    def __getitem__(self, key: str) -> Any:
        """Return a value."""
        self.accessed = True
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default."""
        self.accessed = True
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        """Return whether a key is set."""
        self.accessed = True
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        """Return the keys."""
        self.accessed = True
        return super().__iter__()

    def __len__(self) -> int:
        """Return the number of keys."""
        self.accessed = True
        return super().__len__()

    def keys(self) -> "dict_keys[str, Any]":
        """Return the keys."""
        self.accessed = True
        return super().keys()

    def values(self) -> "dict_values[str, Any]":
        """Return the values."""
        self.accessed = True
        return super().values()

    def items(self) -> "dict_items[str, Any]":
        """Return the keys with their values."""
        self.accessed = True
        return super().items()

    def _joined(self) -> Data:
        # A copy of the whole would pass the methods above, key by key.
        return join(dict(dict[str, Any].items(self)), self._hidden)
