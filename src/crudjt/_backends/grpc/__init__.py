"""A store on a server, over gRPC."""

from collections.abc import Mapping
from typing import Any

from crudjt._backends.grpc.location import Remote, remote
from crudjt._core.extras import require_extra
from crudjt.base import Store

SCHEMES = ("grpc", "grpcs", "unix")
OPTIONS = frozenset({"access_token", "tls_ca", "tls_cert", "tls_key", "timeout", "allow_plaintext"})


def parse(location: str, options: Mapping[str, Any]) -> Remote:
    """Return the server at a location, with the settings of a connection to it."""
    return remote(location, **options)


def open_store(parsed: Remote) -> Store:
    """Return a store that connects to the server at its first call.

    Raises:
        MissingDependency: gRPC is not installed.

    """
    require_extra("grpc")
    from crudjt._backends.grpc.channel import Connection  # noqa: PLC0415 - imports grpc
    from crudjt._backends.grpc.store import RemoteStore  # noqa: PLC0415 - as above

    return RemoteStore(Connection(parsed))
