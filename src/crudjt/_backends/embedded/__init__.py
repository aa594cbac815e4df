"""A store in a directory that every process of the host opens."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crudjt._backends.embedded.location import Embedded
from crudjt._backends.embedded.location import parse as parse
from crudjt._core.moves import Identity
from crudjt._core.report import Report
from crudjt.base import Store

if TYPE_CHECKING:
    from crudjt._backends.embedded.move_destination import EmbeddedDestination
    from crudjt._backends.embedded.move_source import EmbeddedSource

SCHEMES: tuple[str, ...] = ()  # a directory has none
OPTIONS = frozenset(
    {
        "secret_key",
        "durability",
        "sync_interval",
        "sweep_interval",
        "max_size",
        "max_data_bytes",
        "max_cache_bytes",
        "clock",
        "create",
        "allow_shared_directory",
    }
)


def examine(
    location: Path,
    options: Mapping[str, Any],  # noqa: ARG001 - a directory is not connected to
    *,
    repair: bool,
    progress: Callable[[int, int], object],
) -> Report:
    """Check the files of a store, or repair them.

    Raises:
        StoreError: the store cannot be checked or repaired; the subclass says why.

    """
    from crudjt._backends.embedded.doctor import check  # noqa: PLC0415 - import lmdb
    from crudjt._backends.embedded.doctor import repair as repairing  # noqa: PLC0415 - as above

    return repairing.repair(location) if repair else check.examine(location, progress)


def open_store(parsed: Embedded) -> Store:
    """Open the store, creating it if needed."""
    from crudjt._backends.embedded.store import EmbeddedStore  # noqa: PLC0415 - imports lmdb

    return EmbeddedStore(parsed.directory, parsed.secrets, parsed.options)


def write_store(target: Path, identity: Identity, records: Iterable[tuple[bytes, bytes]]) -> None:
    """Make a store of sessions that were kept elsewhere; raises as `Store.backup` does."""
    from crudjt._backends.embedded.engine import backup  # noqa: PLC0415 - imports lmdb

    backup.write_store(target, identity, records)


def open_source(parsed: Embedded) -> "EmbeddedSource":
    """Open the store that sessions are moved from, creating it if needed."""
    from crudjt._backends.embedded.move_source import EmbeddedSource  # noqa: PLC0415 - imports lmdb

    return EmbeddedSource(parsed)


def open_destination(parsed: Embedded, identity: Identity) -> "EmbeddedDestination":
    """Open the store that sessions are moved to, or make it."""
    from crudjt._backends.embedded.move_destination import open_destination_in_directory  # noqa: PLC0415 - imports lmdb

    return open_destination_in_directory(parsed, identity)


def destination_exists(parsed: Embedded, identity: Identity) -> bool:
    """Tell whether the store that sessions are moved to exists; nothing is made."""
    from crudjt._backends.embedded import move_destination  # noqa: PLC0415 - imports lmdb

    return move_destination.destination_exists(parsed.directory, identity)
