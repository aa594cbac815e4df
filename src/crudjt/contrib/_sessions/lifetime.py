"""The lifetime that an application chooses for one session, as for "remember me"."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import crudjt
from crudjt._core.validation import MAX_SECONDS, Duration
from crudjt.contrib._sessions.reserved import LIFETIME
from crudjt.contrib._sessions.states import Held

_SOON = 0.001  # seconds: a limit has to be above 0
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Lasting:
    """A session with values under reserved keys, one of which is its lifetime."""

    _hidden: Mapping[str, Any] = _NOTHING  # replaced as a whole
    _relimits = False

    @property
    def lifetime(self) -> timedelta | None:
        """The time that the session lives from its login, as the application has chosen it; ``None`` for the default.

        Set it after the login, as a `timedelta` or in seconds. The cookie lives as long. Neither later requests nor
        `rotate` move the end; another login begins the same lifetime again. 0 makes a cookie that goes with the
        browser, and leaves the default to the store. An idle timeout holds all the same.

        Raises:
            InvalidParameter: it is negative, or more than 1000 years.
            InvalidType: it is no duration.

        """
        seconds = self.hidden(LIFETIME)
        return None if seconds is None else timedelta(seconds=seconds)

    @lifetime.setter
    def lifetime(self, lifetime: Duration | None) -> None:
        self.hide(LIFETIME, _seconds(lifetime))
        self._relimits = True

    def hidden(self, key: str) -> Any:
        """Return the value of a reserved key, ``None`` if it has none."""
        return self._hidden.get(key)

    def hide(self, key: str, value: Any) -> None:
        """Keep a value under a reserved key until the session ends; ``None`` removes it."""
        others = {each: kept for each, kept in self._hidden.items() if each != key}
        self._hidden = others if value is None else {**others, key: value}

    def keeps_end(self, data: Mapping[Any, Any], held: Held | None) -> bool:
        """Return whether data that is about to be stored leaves a chosen end of the session where it is."""
        return held is not None and not self._relimits and bool(data.get(LIFETIME))


def remaining(absolute: float | None, held: Held | None) -> float | None:
    """Return the seconds that a session may still live; it is ``None`` where one begins."""
    return None if absolute is None else max(absolute - (held.age if held is not None else 0.0), _SOON)


def shortest(*durations: float | None) -> float | None:
    """Return the shortest of the durations that are given."""
    return min((each for each in durations if each is not None), default=None)


def _seconds(lifetime: object) -> float | None:
    if isinstance(lifetime, timedelta):
        lifetime = lifetime.total_seconds()
    if lifetime is None:
        return None
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float):
        raise crudjt.InvalidType(
            "lifetime", f"lifetime must be a timedelta, seconds or None, not {type(lifetime).__name__}"
        )
    if not 0 <= lifetime <= MAX_SECONDS:
        raise crudjt.InvalidParameter(
            "lifetime", f"lifetime must be 0 to {MAX_SECONDS} seconds (1000 years), not {lifetime!r}"
        )
    return float(lifetime)
