"""For tests: a clock that stands still, temporary stores, and the contract that every backend keeps."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from crudjt._core.keyring import generate_secret_key
from crudjt.base import Store
from crudjt.opening import OpenOptions
from crudjt.opening import open as open_store
from crudjt.testing._clock import FakeClock as FakeClock
from crudjt.testing._contract import StoreContract as StoreContract

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing since 3.11; no dependency at run time


@contextmanager
def temporary_store(**options: "Unpack[OpenOptions]") -> Generator[Store]:
    """Keep a store in a temporary directory open for a block; takes what `crudjt.open` takes, but for the location."""
    options.setdefault("secret_key", generate_secret_key())
    with tempfile.TemporaryDirectory(prefix="crudjt-") as directory, open_store(Path(directory), **options) as store:
        yield store
