"""System checks: settings that would fail at the first request, and a store that does not open, are found before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning  # noqa: A004 - Django names it so

import crudjt
from crudjt.contrib._settings import (
    ABSOLUTE_TIMEOUT,
    IDLE_TIMEOUT,
    PREFIX,
    check_configured,
    location,
    max_sessions,
    open_existing,
    record_client,
    renew_keys,
    timeout,
    unknown,
)
from crudjt.contrib.django._device_bound import usable_settings
from crudjt.contrib.django._store import setting, tests
from crudjt.contrib.django._switching import checked_switch

ENGINE = "crudjt.contrib.django"
_OPENING = "django.contrib.sessions.middleware.SessionMiddleware"
_CHECKING = "crudjt.contrib.django.DeviceBoundMiddleware"


def check_settings(*_: Any, **__: Any) -> list[CheckMessage]:
    """Report settings that are missing, wrong or misspelled. No value is in a message, and no store is made.

    E001: no store can be opened with the settings, for instance because there is no secret key. E002: a timeout is not
    a number of seconds. E003: the number of sessions of a user is no whole number. E004: `CRUDJT_RECORD_CLIENT` or
    `CRUDJT_RENEW_KEYS` is neither true nor false. E005: device bound sessions do not go with other settings, or their
    middleware is not in its place. E006: `CRUDJT_TAKE_OVER` cannot be used. W001: a name begins with
    ``CRUDJT_`` and means nothing. W002: this is not the session engine.
    """
    found: list[CheckMessage] = []
    try:
        check_configured(setting)
    except crudjt.InvalidParameter as error:
        hint = f"Set {PREFIX}{error.parameter.upper()}."
        if error.parameter == "secret_key":
            hint = "Set CRUDJT_SECRET_KEY to what `crudjt keygen` prints, in the settings or in the environment."
        found.append(Error(str(error), hint=hint, id="crudjt.E001"))
    found += filter(None, map(_wrong_timeout, (IDLE_TIMEOUT, ABSOLUTE_TIMEOUT)))
    try:
        max_sessions(setting)
    except crudjt.InvalidParameter as error:
        found.append(Error(str(error), id="crudjt.E003"))
    found += filter(None, map(_wrong_switch, (record_client, renew_keys)))
    found += _wrong_device_bound()
    try:
        checked_switch(setting)
    except crudjt.InvalidParameter as error:
        found.append(Error(str(error), id="crudjt.E006"))
    found += [Warning(f"{problem[0].upper()}{problem[1:]}", id="crudjt.W001") for problem in unknown(dir(settings))]
    if settings.SESSION_ENGINE != ENGINE:
        found.append(Warning("The session engine is another", hint=f"SESSION_ENGINE = {ENGINE!r}", id="crudjt.W002"))
    return found


def check_directory(*_: Any, **__: Any) -> list[CheckMessage]:
    """Open the store if it is in a directory. None is made where there is none.

    I001: there is no store yet, so that it was not opened. W003: it cannot be opened, by this user at this time.
    """
    try:
        place = location(setting)
        check_configured(setting)
    except crudjt.InvalidParameter:  # reported by `check_settings`
        return []
    if tests() or not isinstance(place, Path):
        return []
    try:
        if not place.exists() or (place.is_dir() and not any(place.iterdir())):
            message = "There is no store yet, so whether it opens could not be checked"
            return [Info(message, hint=f"The first request makes it, in {place}.", id="crudjt.I001")]
    except OSError:  # the store says what is wrong with its directory
        pass
    return _opened()


def check_server(*_: Any, **__: Any) -> list[CheckMessage]:
    """Ask the store for its counters if it is on a server. Django does this with ``check --deploy`` only.

    W003: it gives no answer.
    """
    try:
        place = location(setting)
        check_configured(setting)
    except crudjt.InvalidParameter:  # reported by `check_settings`
        return []
    return [] if tests() or isinstance(place, Path) else _opened()


def _opened() -> list[CheckMessage]:
    try:
        with open_existing(setting) as store:
            store.stats()
    except crudjt.StoreError as error:
        hint = "If the application runs as another user or on another machine, run this check there."
        return [Warning(f"The store could not be opened: {error}", hint=hint, id="crudjt.W003")]
    return []


def _wrong_device_bound() -> list[CheckMessage]:
    try:
        offers = usable_settings().offers
    except crudjt.InvalidParameter as error:
        return [Error(str(error), id="crudjt.E005")]
    listed = list(settings.MIDDLEWARE)
    at = listed.index(_CHECKING) if _CHECKING in listed else -1
    is_in_place = listed[at - 1] == _OPENING if _OPENING in listed and at > 0 else at > 0
    if is_in_place or not (offers or at >= 0):
        return []
    hint = f"List {_CHECKING!r} in MIDDLEWARE, right after {_OPENING!r}."
    return [Error("Device bound sessions need their middleware in its place", hint=hint, id="crudjt.E005")]


def _wrong_switch(switch: Callable[[Callable[[str], Any]], bool]) -> CheckMessage | None:
    try:
        switch(setting)
    except crudjt.InvalidParameter as error:
        return Error(str(error), id="crudjt.E004")
    return None


def _wrong_timeout(name: str) -> Error | None:
    try:
        timeout(setting, name)
    except crudjt.InvalidParameter as error:
        return Error(f"{name} is not usable", hint=f"{error}.", id="crudjt.E002")
    return None
