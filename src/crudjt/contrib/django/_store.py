"""The store of this process, as the settings describe it."""

import threading
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

import crudjt
from crudjt.contrib._settings import OPEN, open_configured

_lock = threading.Lock()
_open: list[crudjt.Store] = []


def setting(name: str) -> Any:
    """Return the value of a setting, ``None`` where it is not set."""
    return getattr(settings, name, None)


def get_store() -> crudjt.Store:
    """Return the store that the ``CRUDJT_*`` settings describe, opened at the first call.

    Raises:
        InvalidParameter: a setting is not usable.
        StoreError: the store cannot be opened.

    """
    try:
        return _open[0]
    except IndexError:
        with _lock:
            if not _open:
                _open.append(open_configured(setting))
            return _open[0]


def _forget(*, setting: str, **_: object) -> None:
    """Close the store when a test overrides its settings; the next call opens the one that they describe then."""
    if setting in OPEN:
        with _lock:
            while _open:
                _open.pop().close()


setting_changed.connect(_forget)
