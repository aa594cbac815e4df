"""crudjt: an encrypted, file-backed token store for stateful sessions that every process opens directly."""

from crudjt._backends.embedded.store import Store as Store
from crudjt._core.keyring import generate_secret_key as generate_secret_key
from crudjt._core.options import Options as Options
from crudjt._core.session import Session as Session
from crudjt._core.stats import Stats as Stats
from crudjt._core.validation import KEEP as KEEP
from crudjt.compat import CRUDJT as CRUDJT
from crudjt.errors import CrudjtError as CrudjtError
from crudjt.errors import DataTooLarge as DataTooLarge
from crudjt.errors import InvalidParameter as InvalidParameter
from crudjt.errors import MissingDependency as MissingDependency
from crudjt.errors import StoreBusy as StoreBusy
from crudjt.errors import StoreClosed as StoreClosed
from crudjt.errors import StoreCorrupt as StoreCorrupt
from crudjt.errors import StoreError as StoreError
from crudjt.errors import StoreFailed as StoreFailed
from crudjt.errors import StoreFormatError as StoreFormatError
from crudjt.errors import StoreFull as StoreFull
from crudjt.errors import StoreInaccessible as StoreInaccessible
from crudjt.errors import StoreUnavailable as StoreUnavailable
from crudjt.errors import VersionConflict as VersionConflict
from crudjt.opening import open as open  # noqa: A004 - crudjt.open is the name
