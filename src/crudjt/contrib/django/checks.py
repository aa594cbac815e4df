"""System checks: settings that would fail at the first request are found before."""

import tempfile
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django names it so

import crudjt
from crudjt.contrib._settings import ABSOLUTE_TIMEOUT, IDLE_TIMEOUT, PREFIX, open_configured, timeout, unknown
from crudjt.contrib.django._store import setting

ENGINE = "crudjt.contrib.django"


def check_settings(*_: Any, **__: Any) -> list[CheckMessage]:
    """Report settings that are missing, wrong or misspelled. No value is in a message, and no store is made.

    E001: no store can be opened with the settings, for instance because there is no secret key. E002: a timeout is not
    a number of seconds. W001: a name begins with ``CRUDJT_`` and means nothing. W002: this is not the session engine.
    """
    found: list[CheckMessage] = []
    try:
        _open_elsewhere()
    except crudjt.InvalidParameter as error:
        hint = f"Set {PREFIX}{error.parameter.upper()}."
        if error.parameter == "secret_key":
            hint = "Set CRUDJT_SECRET_KEY to what `crudjt keygen` prints, in the settings or in the environment."
        found.append(Error(str(error), hint=hint, id="crudjt.E001"))
    except crudjt.StoreError:
        pass  # of the temporary directory, which says nothing of the settings
    found += filter(None, map(_wrong_timeout, (IDLE_TIMEOUT, ABSOLUTE_TIMEOUT)))
    found += [
        Warning(f"There is no setting {name}", hint="See the documentation for their names.", id="crudjt.W001")
        for name in unknown(dir(settings))
    ]
    if settings.SESSION_ENGINE != ENGINE:
        found.append(Warning("The session engine is another", hint=f"SESSION_ENGINE = {ENGINE!r}", id="crudjt.W002"))
    return found


def _open_elsewhere() -> None:
    """Open a store with all settings but its directory, which a check must not make. A server is not connected to."""
    with tempfile.TemporaryDirectory(prefix="crudjt-check-") as directory:
        location = setting("CRUDJT_LOCATION")
        remote = isinstance(location, str) and "://" in location
        elsewhere = location if remote else directory
        open_configured(lambda name: elsewhere if name == "CRUDJT_LOCATION" else setting(name)).close()


def _wrong_timeout(name: str) -> Error | None:
    try:
        timeout(setting, name)
    except crudjt.InvalidParameter as error:
        return Error(f"{name} is not usable", hint=f"{error}.", id="crudjt.E002")
    return None
