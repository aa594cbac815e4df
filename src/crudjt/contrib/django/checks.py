"""System checks: settings that would fail at the first request are found before."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django names it so

import crudjt
from crudjt.contrib._settings import ABSOLUTE_TIMEOUT, IDLE_TIMEOUT, PREFIX, check_configured, timeout, unknown
from crudjt.contrib.django._store import setting

ENGINE = "crudjt.contrib.django"


def check_settings(*_: Any, **__: Any) -> list[CheckMessage]:
    """Report settings that are missing, wrong or misspelled. No value is in a message, and no store is made.

    E001: no store can be opened with the settings, for instance because there is no secret key. E002: a timeout is not
    a number of seconds. W001: a name begins with ``CRUDJT_`` and means nothing. W002: this is not the session engine.
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
    found += [
        Warning(f"There is no setting {name}", hint="See the documentation for their names.", id="crudjt.W001")
        for name in unknown(dir(settings))
    ]
    if settings.SESSION_ENGINE != ENGINE:
        found.append(Warning("The session engine is another", hint=f"SESSION_ENGINE = {ENGINE!r}", id="crudjt.W002"))
    return found


def _wrong_timeout(name: str) -> Error | None:
    try:
        timeout(setting, name)
    except crudjt.InvalidParameter as error:
        return Error(f"{name} is not usable", hint=f"{error}.", id="crudjt.E002")
    return None
