"""crudjt: an encrypted, file-backed token store for stateful sessions that every process opens directly."""

from crudjt._core.details import Client
from crudjt._core.events import Event
from crudjt._core.keyring import generate_secret_key
from crudjt._core.listing import Page
from crudjt._core.session import Session
from crudjt._core.stats import Stats
from crudjt._core.validation import KEEP, KeepType
from crudjt.base import AsyncStore, AsyncTypedStore, Store, TypedStore
from crudjt.compat import CRUDJT
from crudjt.errors import (
    CrudjtError,
    DataMismatch,
    DataTooLarge,
    InvalidParameter,
    InvalidType,
    MissingDependency,
    StoreBusy,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreFormatError,
    StoreFull,
    StoreInaccessible,
    StoreMoved,
    StoreUnavailable,
    TooManySessions,
    VersionConflict,
)
from crudjt.opening import open  # noqa: A004 - crudjt.open is the name

__all__ = [
    "CRUDJT",
    "KEEP",
    "AsyncStore",
    "AsyncTypedStore",
    "Client",
    "CrudjtError",
    "DataMismatch",
    "DataTooLarge",
    "Event",
    "InvalidParameter",
    "InvalidType",
    "KeepType",
    "MissingDependency",
    "Page",
    "Session",
    "Stats",
    "Store",
    "StoreBusy",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreFailed",
    "StoreFormatError",
    "StoreFull",
    "StoreInaccessible",
    "StoreMoved",
    "StoreUnavailable",
    "TooManySessions",
    "TypedStore",
    "VersionConflict",
    "generate_secret_key",
    "open",
]
