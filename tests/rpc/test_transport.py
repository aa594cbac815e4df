"""Limits of connections, streams and metadata, which hold before any method runs."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

import crudjt
from crudjt._rpc.channel_options import CHANNEL_OPTIONS
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.server import Server, transport
from tests.support import http2
from tests.support.http2 import RawConnection
from tests.support.processes import PATIENCE
from tests.support.servers import STORE_SERVICE, call, plaintext, refusal, serves

pytestmark = pytest.mark.slow

PEEK = f"/{STORE_SERVICE}/Peek"
UNKNOWN = pb.PeekRequest(token="A" * 22).SerializeToString()
CALLS = 3000


@contextmanager
def running(store: crudjt.Store) -> Iterator[str]:
    server = Server(store, ["127.0.0.1:0"])
    server.start()
    try:
        yield server.addresses[0]
    finally:
        server.stop(0)


@pytest.fixture
def address(store: crudjt.Store) -> Iterator[str]:
    with running(store) as address:
        yield address


@pytest.fixture
def hurried(store: crudjt.Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Serve with a time limit of the transport a hundred times shorter; one that is not set stays so."""
    opened = []

    def serve(name: str) -> str:
        shortened = {key: value // 100 if key == name else value for key, value in transport.OPTIONS.items()}
        monkeypatch.setattr(transport, "OPTIONS", shortened)
        opened.append(running(store))
        return opened[0].__enter__()

    yield serve
    opened[0].__exit__(None, None, None)


# Streams


def test_a_burst_that_keeps_to_the_announced_streams_loses_no_call(address: str) -> None:
    """A stream is begun for each that has ended, as the HTTP/2 client of Node does."""
    with RawConnection(address) as connection:
        streams = iter(range(1, 2 * CALLS, 2))
        live = {next(streams) for _ in range(connection.settings[http2.MAX_CONCURRENT_STREAMS])}
        connection.send(*(http2.call(stream, PEEK, UNKNOWN) for stream in live))
        ended = refused = 0
        for frame in connection.frames():
            if frame.stream in live and frame.ends_stream:
                live.remove(frame.stream)
                ended += 1
                refused += frame.kind == http2.RST_STREAM
                if following := next(streams, None):
                    live.add(following)
                    connection.send(http2.call(following, PEEK, UNKNOWN))
                elif not live:
                    break
    assert (ended, refused) == (CALLS, 0)


def test_a_connection_has_a_limited_number_of_streams(address: str) -> None:
    """A client that opens more is disconnected, or refused the stream."""
    with RawConnection(address) as connection:
        limit = connection.settings[http2.MAX_CONCURRENT_STREAMS]
        assert limit == transport.MAX_STREAMS
        connection.send(*(http2.head(stream, PEEK) for stream in range(1, 2 * limit, 2)))
        excess = 2 * limit + 1
        connection.send(http2.head(excess, PEEK))
        first = next(frame for frame in connection.frames() if frame.kind in (http2.GOAWAY, http2.RST_STREAM))
        assert first.kind == http2.GOAWAY or first.stream == excess


@pytest.mark.skipif(
    not transport.reset_protection(grpc.__version__)["grpc.http.overload_protection"], reason="old gRPC"
)
def test_a_client_that_resets_each_stream_at_once_is_refused_most_of_them(address: str) -> None:
    count = 20_000
    with RawConnection(address) as connection:
        streams = range(1, 2 * count, 2)
        sending = threading.Thread(
            target=connection.send, args=[http2.head(stream, PEEK) + http2.reset(stream) for stream in streams]
        )
        sending.start()
        refusals = (frame for frame in connection.frames() if frame.kind == http2.RST_STREAM)
        assert next(refusals).code == http2.REFUSED_STREAM
        with plaintext(address) as channel:
            assert serves(channel)
        connection.socket.shutdown(socket.SHUT_RD)
        sending.join(PATIENCE)


def test_without_an_allowance_for_ended_streams_there_is_no_protection_that_would_refuse_bursts() -> None:
    assert transport.reset_protection("1.80.0") == {"grpc.http.overload_protection": 0}
    protection = transport.reset_protection("1.81.0rc1")
    assert protection.pop("grpc.http2.max_deallocating_streams") > transport.MAX_STREAMS
    assert protection == {"grpc.http.overload_protection": 1}


# Connections


def test_a_connection_that_says_nothing_is_closed(hurried: Callable[[str], str]) -> None:
    host, _, port = hurried("grpc.server_handshake_timeout_ms").rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as silent:
        assert _closed_within(silent, PATIENCE)


def test_a_connection_without_a_call_is_closed(hurried: Callable[[str], str]) -> None:
    with RawConnection(hurried("grpc.max_connection_idle_ms")) as connection:
        assert any(frame.kind == http2.GOAWAY for frame in connection.frames())


def test_a_connection_with_a_call_stays(hurried: Callable[[str], str]) -> None:
    with RawConnection(hurried("grpc.max_connection_idle_ms")) as connection:
        connection.send(http2.head(1, PEEK))
        assert not _closed_within(connection.socket, 4)


def test_a_client_disconnects_before_the_server_does() -> None:
    """So none of its calls meets a connection that the server closes."""
    idle = dict(CHANNEL_OPTIONS)["grpc.client_idle_timeout_ms"]
    assert idle <= transport.OPTIONS["grpc.max_connection_idle_ms"] - 30_000


def _closed_within(connection: socket.socket, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            if not connection.recv(65536):
                return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True
    return False


def _is_refused(connection: socket.socket) -> bool:
    """Tell whether a connection is closed at once; the server sends its settings on any other."""
    try:
        return not connection.recv(65536)
    except ConnectionError:
        return True


def test_connections_leave_descriptors_to_the_store(store: crudjt.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a flood of connections cannot keep it from opening its next log file."""
    monkeypatch.setattr("resource.getrlimit", lambda _kind: (transport._OWN_DESCRIPTORS + 50, 1000))
    connections: list[socket.socket] = []
    with running(store) as address:
        host, _, port = address.rpartition(":")
        for _ in range(100):
            connections.append(socket.create_connection((host, int(port)), PATIENCE))
            connections[-1].sendall(http2.PREFACE + http2.Frame(http2.SETTINGS, 0, 0, b"").encoded())
        assert sum(map(_is_refused, connections)) == 50
    for each in connections:
        each.close()


# Requests


def _with_metadata(channel: Any, size: int) -> bytes:
    return call(channel, PEEK, UNKNOWN, metadata=(("x", "x" * size),))


def test_metadata_may_take_almost_16_kib(address: str) -> None:
    with plaintext(address) as channel:
        for _ in range(20):
            _with_metadata(channel, 15 * 1024)


def test_larger_metadata_is_refused(address: str) -> None:
    with plaintext(address, ("grpc.max_metadata_size", 1024**2)) as channel:
        for size in (16 * 1024, 18 * 1024, 1024**2):
            status = refusal(channel, PEEK, UNKNOWN, metadata=(("x", "x" * size),))
            assert status.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_compressed_request_is_refused(address: str, compression: grpc.Compression) -> None:
    request = pb.CreateRequest(data=b"\x80", subject="s" * 1000).SerializeToString()
    with plaintext(address) as channel:
        status = refusal(channel, f"/{STORE_SERVICE}/Create", request, compression=compression)
        assert status.code() is grpc.StatusCode.UNIMPLEMENTED
        call(channel, f"/{STORE_SERVICE}/Create", request)
