"""`Store` and `AsyncStore`: the interface that every backend implements, and its documentation.

A backend implements `Store`, and `AsyncStore` where it can do better than to run a `Store` in threads. Whatever takes a
store takes either of them, and requires nothing else. The functions check parameters, and convert data and sessions, as
every backend does it.
"""

from crudjt._core.codec import pack, unpack
from crudjt._core.details import Client, NewDetails, changed_details
from crudjt._core.labels import Named, named
from crudjt._core.listing import Page, checked_listing
from crudjt._core.session import new_session
from crudjt._core.tokens import token_block
from crudjt._core.validation import (
    Duration,
    NewLimits,
    SessionLimit,
    StoredLimits,
    WhenFull,
    changed_limits,
    checked_handle,
    checked_subject,
    checked_version,
    list_of_tokens,
    new_limits,
    session_limit,
)
from crudjt.base.async_store import AsyncStore
from crudjt.base.async_typed import AsyncTypedStore
from crudjt.base.store import Store, Writes
from crudjt.base.typed import TypedStore

__all__ = [
    "AsyncStore",
    "AsyncTypedStore",
    "Client",
    "Duration",
    "Named",
    "NewDetails",
    "NewLimits",
    "Page",
    "SessionLimit",
    "Store",
    "StoredLimits",
    "TypedStore",
    "WhenFull",
    "Writes",
    "changed_details",
    "changed_limits",
    "checked_handle",
    "checked_listing",
    "checked_subject",
    "checked_version",
    "list_of_tokens",
    "named",
    "new_limits",
    "new_session",
    "pack",
    "session_limit",
    "token_block",
    "unpack",
]
