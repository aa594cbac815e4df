"""Transport limits of the server: what one connection may cost before any method runs."""

import resource
from collections.abc import Mapping

import grpc

MAX_STREAMS = 256  # of one connection
MAX_METADATA_BYTES = 16 * 1024

_MS = 1000
_IDENTITY_ONLY = 1  # one bit for each algorithm; the lowest is "not compressed"
_MAX_ENDED_STREAMS = 1024  # of one connection: ended for the client, not yet freed in the server
_OWN_DESCRIPTORS = 128  # for the store, the logs, a backup; a worker at rest has 20 open
_MIN_CONNECTIONS = 16
_MAX_INT = 2**31 - 1

OPTIONS: Mapping[str, int] = {
    # A peer that has vanished is noticed.
    "grpc.keepalive_time_ms": 60 * _MS,
    "grpc.keepalive_timeout_ms": 20 * _MS,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.min_ping_interval_without_data_ms": 10 * _MS,
    # A connection that does not finish its handshake, or makes no call for a while, is closed. Clients of this package
    # disconnect earlier (`crudjt._rpc.channel_options`), so that none of their calls meets a connection that closes.
    "grpc.server_handshake_timeout_ms": 10 * _MS,
    "grpc.max_connection_idle_ms": 300 * _MS,
    "grpc.max_concurrent_streams": MAX_STREAMS,
    # With the soft limit alone, gRPC refuses metadata a little larger at random.
    "grpc.max_metadata_size": MAX_METADATA_BYTES,
    "grpc.absolute_max_metadata_size": MAX_METADATA_BYTES,
    # Some releases of gRPC decompress a request before they check its size. No client of this package compresses.
    "grpc.compression_enabled_algorithms_bitset": _IDENTITY_ONLY,
}


def transport_options(*, listeners: int, share_ports: bool, max_message_bytes: int) -> list[tuple[str, int]]:
    """Return the channel arguments of a gRPC server that listens on so many addresses."""
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = _MAX_INT if soft_limit == resource.RLIM_INFINITY else soft_limit
    connections = max((descriptors - _OWN_DESCRIPTORS) // listeners, _MIN_CONNECTIONS)
    options = {
        **OPTIONS,
        **reset_protection(grpc.__version__),
        "grpc.so_reuseport": int(share_ports),
        "grpc.max_allowed_incoming_connections": min(connections, _MAX_INT),  # of each listener
        "grpc.max_receive_message_length": max_message_bytes,
        "grpc.max_send_message_length": 2 * max_message_bytes,  # a batch ends with the response that exceeds a part
    }
    return list(options.items())


def reset_protection(version: str) -> dict[str, int]:
    """Return the options against clients that open streams and reset them at once, for this version of grpcio.

    gRPC counts a stream until it has freed it, which is after the client has seen it end. Without an allowance for
    such streams, a client that keeps to `MAX_STREAMS` is refused calls. Before 1.81 there is none, and the protection
    has to be off: then the limit of calls (`MAX_CONCURRENT_RPCS`) bounds the memory that such a client can use.
    """
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) < (1, 81):
        return {"grpc.http.overload_protection": 0}
    return {"grpc.http.overload_protection": 1, "grpc.http2.max_deallocating_streams": _MAX_ENDED_STREAMS}
