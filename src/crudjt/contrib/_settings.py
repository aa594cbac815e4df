"""Settings of a framework whose names begin with ``CRUDJT_``: an open store from them, and no misspelled name."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import crudjt
from crudjt import opening
from crudjt._registry import backend_of
from crudjt.contrib._device_bound.settings import PATH, DeviceBound

PREFIX = "CRUDJT_"

OPEN = {f"{PREFIX}{name.upper()}": name for name in inspect.signature(crudjt.open).parameters if name != "clock"}
"""The settings that go to `crudjt.open`, and its parameters."""

MAX_DATA_BYTES = f"{PREFIX}MAX_DATA_BYTES"
IDLE_TIMEOUT = f"{PREFIX}IDLE_TIMEOUT"
ABSOLUTE_TIMEOUT = f"{PREFIX}ABSOLUTE_TIMEOUT"
MAX_SESSIONS = f"{PREFIX}MAX_SESSIONS"
RECORD_CLIENT = f"{PREFIX}RECORD_CLIENT"
RENEW_KEYS = f"{PREFIX}RENEW_KEYS"
DEVICE_BOUND = f"{PREFIX}DEVICE_BOUND"
DEVICE_BOUND_PATH = f"{PREFIX}DEVICE_BOUND_PATH"
TAKE_OVER = f"{PREFIX}TAKE_OVER"

OURS = frozenset(
    {
        ABSOLUTE_TIMEOUT,
        DEVICE_BOUND,
        DEVICE_BOUND_PATH,
        IDLE_TIMEOUT,
        MAX_SESSIONS,
        RECORD_CLIENT,
        RENEW_KEYS,
        TAKE_OVER,
    }
)
"""The settings of every framework that do not go to `crudjt.open`."""


def open_configured(setting: Callable[[str], Any]) -> crudjt.Store:
    """Open the store that the settings describe; what they leave out is up to `crudjt.open` and its environment.

    Args:
        setting: returns the value of a setting, ``None`` where it is not set.

    Raises:
        InvalidParameter: a setting is not usable. It is named by the parameter of `crudjt.open`.
        StoreError: the store cannot be opened.

    """
    return _parsed(setting).open()


def open_existing(setting: Callable[[str], Any]) -> crudjt.Store:
    """Open the store that the settings describe, but make none.

    Raises:
        InvalidParameter: as for `open_configured`.
        StoreError: the store cannot be opened, or is not there.

    """
    may_make = "create" in backend_of(location(setting)).OPTIONS
    create = f"{PREFIX}CREATE"
    return _parsed(lambda name: False if name == create and may_make else setting(name)).open()


def location(setting: Callable[[str], Any]) -> str | Path:
    """Return the URL, or the absolute path of the directory, that the settings or the environment name.

    Raises:
        InvalidParameter: it is neither.

    """
    return opening.resolve(setting(f"{PREFIX}LOCATION"))


def check_configured(setting: Callable[[str], Any]) -> None:
    """Check the settings as `open_configured` does; create and connect to nothing.

    Raises:
        InvalidParameter: a setting is not usable.

    """
    _parsed(setting)


def _parsed(setting: Callable[[str], Any]) -> opening.Parsed:
    given: Any = {name: value for key, name in OPEN.items() if (value := setting(key)) is not None}
    return opening.parse(given.pop("location", None), given)


def unknown(names: Iterable[str], *own: str) -> list[str]:
    """Return a text for each name that begins like ours and means nothing. `own` are those of one framework only."""
    known = sorted({*OPEN, *OURS, *own})
    return [
        f"there is no setting {name}{_meant(name, known)}"
        for name in sorted(names)
        if name.startswith(PREFIX) and name not in known
    ]


def _meant(name: str, known: list[str]) -> str:
    similar = get_close_matches(name, known, n=1)
    return f"; did you mean {similar[0]}?" if similar else "; the documentation lists their names"


def timeout(setting: Callable[[str], Any], name: str) -> float | None:
    """Return a timeout that is set, in seconds.

    Raises:
        InvalidParameter: it is not a number above 0.

    """
    value = setting(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise crudjt.InvalidParameter(name, f"{name} must be seconds, above 0, or None, not {value!r}")
    return float(value)


def device_bound(
    setting: Callable[[str], Any], cookie_name: str, same_site: str, names: Mapping[str, str]
) -> DeviceBound:
    """Return the settings of device bound sessions.

    Args:
        setting: returns the value of a setting.
        cookie_name: the name of the session cookie.
        same_site: of the session cookie.
        names: the framework's names of settings, by those of the ASGI adapters.

    Raises:
        InvalidParameter: one cannot be used.

    """
    named = {"device_bound": DEVICE_BOUND, "device_bound_path": DEVICE_BOUND_PATH, **names}
    offers, path = setting(DEVICE_BOUND), setting(DEVICE_BOUND_PATH)
    return DeviceBound(
        False if offers is None else offers,
        PATH if path is None else path,
        cookie_name=cookie_name,
        same_site=same_site,
        names=named.__getitem__,
    )


def max_sessions(setting: Callable[[str], Any]) -> int | None:
    """Return how many sessions a user may have; ``None`` for any number.

    Raises:
        InvalidParameter: it is not a whole number, at least 1.

    """
    value = setting(MAX_SESSIONS)
    if value is None:
        return None
    if type(value) is not int or value < 1:
        raise crudjt.InvalidParameter(
            MAX_SESSIONS, f"{MAX_SESSIONS} must be a whole number, at least 1, or None, not {value!r}"
        )
    return value


def record_client(setting: Callable[[str], Any]) -> bool:
    """Return whether sessions note the clients that they begin for.

    Raises:
        InvalidParameter: it is no bool.

    """
    return _switch(setting, RECORD_CLIENT, otherwise=False)


def renew_keys(setting: Callable[[str], Any]) -> bool:
    """Return whether sessions of older secret keys get new tokens.

    Raises:
        InvalidParameter: it is no bool.

    """
    return _switch(setting, RENEW_KEYS, otherwise=True)


def _switch(setting: Callable[[str], Any], name: str, *, otherwise: bool) -> bool:
    value = setting(name)
    if not isinstance(value, bool | None):
        raise crudjt.InvalidParameter(name, f"{name} must be True or False, not {value!r}")
    return otherwise if value is None else value
