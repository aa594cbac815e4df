"""Keys of the stored data that belong to the adapters: the application neither sees nor clears them.

They lie beside the application's own keys, so that they are merged key by key as those are. They come last in the
stored data: equal data has equal bytes.
"""

from collections.abc import Mapping
from typing import Any

import crudjt
from crudjt._core.session import Session, has_data, with_data
from crudjt.contrib._sessions.calls import Data

LIFETIME = "_crudjt_lifetime"
"""The seconds that a session lives from its login, where the application has chosen them."""

DEVICE = "_crudjt_device"
"""The binding of a session to a device, as `_device_bound.binding` packs it."""

IDLE_TIMEOUT = "_crudjt_idle_timeout"
"""The seconds without a request after which it ends, likewise."""

KEYS = frozenset({LIFETIME, IDLE_TIMEOUT, DEVICE})
"""All reserved keys. A module that keeps a value for itself adds its key here."""


def split(data: Data) -> tuple[Data, Data]:
    """Return the data that the application sees, and the values of reserved keys."""
    if dict[Any, Any].keys(data).isdisjoint(KEYS):
        return data, {}
    visible = data.copy()
    return visible, {key: visible.pop(key) for key in data if key in KEYS}


def join(visible: Data, hidden: Mapping[Any, Any]) -> Data:
    """Return the data to store."""
    return {**dict[Any, Any].copy(visible), **hidden} if hidden else visible


def refuse(key: object) -> None:
    """Raise `InvalidParameter`: the application sets a key that is reserved."""
    raise crudjt.InvalidParameter("key", f"the key {key!r} of a session is reserved: choose another")


def listed(session: Session) -> Session:
    """Return a session that was listed, with the data that the application sees."""
    return with_data(session, split(session.data)[0]) if has_data(session) else session


def is_bare(data: Mapping[Any, Any]) -> bool:
    """Return whether data holds nothing of the application."""
    return not data or data.keys() <= KEYS
