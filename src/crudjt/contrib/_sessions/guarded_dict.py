"""A dict with one place where keys are set, and one where they are removed."""

from typing import Any

_MISSING: Any = object()


class GuardedDict(dict[str, Any]):
    """A dict whose every change, but `clear`, passes `__setitem__` or `__delitem__`, which subclasses override."""

    def pop(self, key: str, default: Any = _MISSING) -> Any:
        """Remove a key and return its value."""
        if default is not _MISSING and key not in self:
            return default
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the last key; return it with its value."""
        if not self:
            return super().popitem()
        key = next(reversed(self))
        return key, self.pop(key)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, which is set if it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Set the keys of a mapping, or of pairs."""
        for key, value in dict[str, Any](other, **more).items():
            self[key] = value

    def __ior__(self, other: Any) -> "GuardedDict":  # type: ignore[override,misc] # as dict, but not generic
        """Set the keys of a mapping, or of pairs."""
        self.update(other)
        return self
