"""A store on a Valkey or Redis server or cluster, for processes of many hosts."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from crudjt._backends.valkey.location import SCHEMES as SCHEMES
from crudjt._backends.valkey.location import servers
from crudjt._backends.valkey.settings import Settings, settings
from crudjt._core.extras import require_extra
from crudjt._core.moves import Identity
from crudjt._core.report import Report
from crudjt.base import Store

if TYPE_CHECKING:
    from crudjt._backends.valkey.move_destination import ValkeyDestination
    from crudjt._backends.valkey.move_source import ValkeySource

OPTIONS = frozenset(
    {
        "secret_key",
        "durability",
        "endings",
        "replicas",
        "timeout",
        "tls_ca",
        "tls_cert",
        "tls_key",
        "allow_plaintext",
        "assume",
        "max_data_bytes",
        "clock",
        "create",
    }
)


def parse(location: str, options: Mapping[str, Any]) -> Settings:
    """Return the checked location and options."""
    return settings(location, **options)


def examine(
    location: str,
    options: Mapping[str, Any],
    *,
    repair: bool,
    progress: Callable[[int, int], object],  # noqa: ARG001 - how many keys there are is not known
) -> Report:
    """Check the servers, and each index against its sessions; mend the indexes if told to.

    Raises:
        MissingDependency: the package valkey is not installed.
        StoreError: the servers do not answer, or the user lacks a right.

    """
    require_extra("valkey")
    from crudjt._backends.valkey.doctor import examine as examine_servers  # noqa: PLC0415 - imports valkey

    given = {name: value for name, value in options.items() if name in OPTIONS}
    replicas = given.pop("replicas", None)
    return examine_servers(servers(location, **given), replicas=replicas, repair=repair)


def open_store(parsed: Settings) -> Store:
    """Connect, check the servers, and open the store or make it.

    Raises:
        MissingDependency: the package valkey is not installed.
        StoreError: the store cannot be opened; the subclass says why.

    """
    require_extra("valkey")
    from crudjt._backends.valkey.store import open_on_servers  # noqa: PLC0415 - imports valkey

    return open_on_servers(parsed)


def open_source(parsed: Settings) -> "ValkeySource":
    """Connect, and open the store that sessions are moved from, or make it. Raises as `open_store` does."""
    require_extra("valkey")
    from crudjt._backends.valkey.move_source import open_source_on_servers  # noqa: PLC0415 - imports valkey

    return open_source_on_servers(parsed)


def open_destination(parsed: Settings, identity: Identity) -> "ValkeyDestination":
    """Connect, and open the store that sessions are moved to, or make it. Raises as `open_store` does."""
    require_extra("valkey")
    from crudjt._backends.valkey.move_destination import open_destination_on_servers  # noqa: PLC0415 - imports valkey

    return open_destination_on_servers(parsed, identity)


def destination_exists(parsed: Settings, identity: Identity) -> bool:
    """Tell whether the store that sessions are moved to exists; nothing is made. Raises as `open_store` does."""
    require_extra("valkey")
    from crudjt._backends.valkey import connecting  # noqa: PLC0415 - imports valkey

    return connecting.destination_exists(parsed, identity)
