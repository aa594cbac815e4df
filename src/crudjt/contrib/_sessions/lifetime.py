"""The lifetime and the idle timeout that an application chooses for one session, as for "remember me"."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import crudjt
from crudjt._core.validation import MAX_SECONDS, Duration
from crudjt.contrib._sessions.calls import Lifetime
from crudjt.contrib._sessions.reserved import IDLE_TIMEOUT, LIFETIME
from crudjt.contrib._sessions.states import Held

_SOON = 0.001  # seconds: a limit has to be above 0
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Lasting:
    """A session with values under reserved keys, two of which are limits that the application has chosen."""

    _hidden: Mapping[str, Any] = _NOTHING  # replaced as a whole
    _chosen: frozenset[str] = frozenset()  # the keys of the limits that this request has set

    @property
    def lifetime(self) -> timedelta | None:
        """The time that the session lives from its login, as the application has chosen it; ``None`` for the default.

        Set it after the login, as a `timedelta` or in seconds. The cookie lives as long. Neither later requests nor
        `rotate` move the end; another login begins the same lifetime again. 0 makes a cookie that goes with the
        browser, and leaves the default to the store. An idle timeout holds all the same: see `idle_timeout`.

        Raises:
            InvalidParameter: it is negative, or more than 1000 years.
            InvalidType: it is no duration.

        """
        return self._limit(LIFETIME)

    @lifetime.setter
    def lifetime(self, lifetime: Duration | None) -> None:
        self._choose(LIFETIME, _seconds("lifetime", lifetime, 0))

    @property
    def idle_timeout(self) -> timedelta | None:
        """The time without a request after which the session ends, as chosen; ``None`` for the default.

        Where that is shorter than the `lifetime` of users who are remembered, set it to the same.

        Raises:
            InvalidParameter: it is less than a second, or more than 1000 years.
            InvalidType: it is no duration.

        """
        return self._limit(IDLE_TIMEOUT)

    @idle_timeout.setter
    def idle_timeout(self, idle_timeout: Duration | None) -> None:
        self._choose(IDLE_TIMEOUT, _seconds("idle_timeout", idle_timeout, 1))

    def hidden(self, key: str) -> Any:
        """Return the value of a reserved key, ``None`` if it has none."""
        return self._hidden.get(key)

    def hide(self, key: str, value: Any) -> None:
        """Keep a value under a reserved key until the session ends; ``None`` removes it."""
        others = {each: kept for each, kept in self._hidden.items() if each != key}
        self._hidden = others if value is None else {**others, key: value}

    def kept(self, data: Mapping[Any, Any], held: Held | None, idle: float | None) -> Lifetime | None:
        """Return limits that leave a chosen end where it is; ``None`` if there is none, or this request has set it.

        Args:
            data: what is about to be stored.
            held: the session that it belongs to, ``None`` for one that begins.
            idle: the default for its idle timeout.

        """
        if held is None or LIFETIME in self._chosen or not data.get(LIFETIME):
            return None
        return Lifetime(idle=idle_timeout(data, idle)) if IDLE_TIMEOUT in self._chosen else Lifetime()

    def _limit(self, key: str) -> timedelta | None:
        seconds = self.hidden(key)
        return None if seconds is None else timedelta(seconds=seconds)

    def _choose(self, key: str, seconds: float | None) -> None:
        self.hide(key, seconds)
        self._chosen |= {key}


def idle_timeout(data: Mapping[Any, Any], default: float | None) -> float | None:
    """Return the idle timeout of a session with this data, in seconds."""
    return data.get(IDLE_TIMEOUT) or default


def remaining(absolute: float | None, held: Held | None) -> float | None:
    """Return the seconds that a session may still live; it is ``None`` where one begins."""
    return None if absolute is None else max(absolute - (held.age if held is not None else 0.0), _SOON)


def shortest(*durations: float | None) -> float | None:
    """Return the shortest of the durations that are given."""
    return min((each for each in durations if each is not None), default=None)


def _seconds(parameter: str, duration: object, least: int) -> float | None:
    if isinstance(duration, timedelta):
        duration = duration.total_seconds()
    if duration is None:
        return None
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        raise crudjt.InvalidType(
            parameter, f"{parameter} must be a timedelta, seconds or None, not {type(duration).__name__}"
        )
    if not least <= duration <= MAX_SECONDS:
        raise crudjt.InvalidParameter(
            parameter, f"{parameter} must be {least} to {MAX_SECONDS} seconds (1000 years), not {duration!r}"
        )
    return float(duration)
