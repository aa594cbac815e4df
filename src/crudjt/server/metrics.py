"""Prometheus metrics of all workers. It needs the extra ``metrics``.

Workers count in files of a directory (`PROMETHEUS_MULTIPROC_DIR`, which must be set before this module is imported).
The supervisor adds them up and reads the store's statistics at each scrape. No label holds a token, a subject or data.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from crudjt._rpc.listening import TcpAddress
from crudjt.base import Store
from crudjt.errors import InvalidParameter
from crudjt.metrics import Collector

# Operations that return None or False for an unknown session, and all others.
_LOOKUPS = frozenset({"read", "peek", "update", "touch", "rotate", "delete", "revoke_id", "find"})
_OTHERS = frozenset(
    {
        "create",
        "create_many",
        "read_many",
        "delete_many",
        "sessions",
        "revoke",
        "sweep",
        "sync",
        "backup",
        "count",
        "list",
    }
)

_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)


class Metrics:
    """The counters of one worker."""

    def __init__(self) -> None:
        """Make the counters."""
        registry = CollectorRegistry()  # not exported: the values go to the files
        self._operations = Counter(
            "crudjt_operations",
            "Operations on the store, by kind and result: done, missing (no such session), or the name of an error.",
            ["operation", "result"],
            registry=registry,
        )
        self._calls = Counter(
            "crudjt_calls", "Calls over gRPC, by method and status.", ["method", "code"], registry=registry
        )
        self._seconds = Histogram(
            "crudjt_call_seconds",
            "How long calls took, by method: in the server, without the network.",
            ["method"],
            buckets=_BUCKETS,
            registry=registry,
        )

    def observed(self, store: Store) -> "ObservedStore":
        """Return a store whose operations are counted."""
        return ObservedStore(store, self.count_operation)

    def count_call(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """Count a call over gRPC."""
        self._calls.labels(method, code.name).inc()
        self._seconds.labels(method).observe(seconds)

    def count_operation(self, operation: str, result: str) -> None:
        """Count an operation on the store."""
        self._operations.labels(operation, result).inc()


class ObservedStore:
    """Wraps a store and counts its operations."""

    def __init__(self, store: Store, count: Callable[[str, str], None]) -> None:
        """Take an open store, and a function that counts an operation and its result."""
        self._store = store
        for name in _LOOKUPS | _OTHERS:
            setattr(self, name, _observed(name, getattr(store, name), count))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _observed(name: str, operation: Callable[..., Any], count: Callable[[str, str], None]) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        try:
            result = operation(*arguments, **keywords)
        except Exception as error:
            count(name, type(error).__name__)
            raise
        count(name, "missing" if name in _LOOKUPS and (result is None or result is False) else "done")
        return result

    return call


@contextmanager
def metrics_served(address: TcpAddress, store: Store, directory: str) -> Generator[TcpAddress]:
    """Serve the metrics of all workers at ``/metrics`` during a block; yield the address with its actual port.

    Raises:
        InvalidParameter: the address is not available.

    """
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=directory)  # type: ignore[no-untyped-call] # it has no annotations
    registry.register(Collector(store))
    try:
        server, thread = start_http_server(address.port, address.host, registry)
    except OSError as error:
        raise InvalidParameter(
            "metrics", f"cannot serve metrics on {address}: {(error.strerror or str(error)).lower()}"
        ) from None
    try:
        yield TcpAddress(address.host, server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
