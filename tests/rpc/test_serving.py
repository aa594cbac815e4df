"""The life of a server: it starts on its addresses or not at all, says how it is, and stops without losing a call."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

import crudjt
from crudjt._rpc.listening import TcpAddress
from crudjt._rpc.proto.v1 import store_pb2
from crudjt.errors import StoreFailed
from crudjt.server.server import SERVICES, Server
from crudjt.server.services.method import Method
from crudjt.server.sockets import bind_tcp
from tests.support.processes import eventually
from tests.support.servers import (
    CHECK,
    PATIENCE,
    STORE_SERVICE,
    TOKEN_SERVICE,
    call,
    described_methods,
    plaintext,
    refusal,
    serves,
)

CREATE = f"/{STORE_SERVICE}/Create"
ENDED = {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}  # by the server; not by the deadline of the client
NEW = store_pb2.CreateRequest(data=b"\x80").SerializeToString()


@pytest.fixture
def server(store: crudjt.Store) -> Iterator[Server]:
    server = Server(store, ["127.0.0.1:0"])
    server.start()
    yield server
    server.stop(0)


@pytest.fixture
def channel(server: Server) -> Iterator[Any]:
    with plaintext(server.addresses[0]) as channel:
        yield channel


# Starting


def test_a_server_listens_on_all_its_addresses_and_names_their_ports(store: crudjt.Store, tmp_path: Path) -> None:
    server = Server(store, ["127.0.0.1:0", "127.0.0.2:0", f"unix:{tmp_path}/socket"])
    before = server.addresses
    server.start()
    assert (len(before), len(server.addresses)) == (0, 3)
    for address in server.addresses:
        assert not address.endswith(":0")
        with plaintext(address) as channel:
            assert serves(channel)
    server.stop(0)


def test_a_port_in_use_is_an_error_that_names_it_and_nothing_is_served(
    store: crudjt.Store, server: Server, tmp_path: Path
) -> None:
    taken = server.addresses[0]
    other = Server(store, [f"unix:{tmp_path}/socket", taken])
    with pytest.raises(crudjt.InvalidParameter, match=f"{taken}: address already in use"):
        other.start()
    assert not (tmp_path / "socket").exists()
    with plaintext(taken) as channel:
        assert serves(channel)


def test_an_address_of_another_host_is_an_error_that_names_it(store: crudjt.Store) -> None:
    """Of 203.0.113.0/24, which is nobody's (RFC 5737); no server is started."""
    with pytest.raises(crudjt.InvalidParameter, match=r"203\.0\.113\.1:0: cannot assign"):
        bind_tcp(grpc.server(ThreadPoolExecutor(1)), TcpAddress("203.0.113.1", 0), None)


def test_two_servers_of_one_process_serve_one_store(store: crudjt.Store, server: Server) -> None:
    other = Server(store, ["127.0.0.1:0"])
    other.start()
    with plaintext(other.addresses[0]) as channel:
        token = store_pb2.CreateResponse.FromString(call(channel, CREATE, NEW)).token
    other.stop(0)
    assert store.peek(token) is not None
    with plaintext(server.addresses[0]) as channel:
        assert serves(channel)


# Stopping


def test_a_stop_finishes_the_calls_that_run_and_refuses_new_ones(store: crudjt.Store) -> None:
    started, go_on = threading.Event(), threading.Event()

    def wait(_store: Any, _request: Any) -> HealthCheckResponse:
        started.set()
        assert go_on.wait(PATIENCE)
        return HealthCheckResponse()

    methods = {"Wait": Method(HealthCheckRequest, HealthCheckResponse, wait)}
    server = Server(store, ["127.0.0.1:0"], services={"test.Slow": methods})
    server.start()
    with plaintext(server.addresses[0]) as channel, ThreadPoolExecutor(2) as threads:
        running = channel.unary_unary("/test.Slow/Wait").future(b"", timeout=PATIENCE)
        assert started.wait(PATIENCE)
        stopping = threads.submit(server.stop, PATIENCE)
        assert eventually(lambda: _refused(server.addresses[0]))
        assert not stopping.done()
        again = threads.submit(server.stop)
        go_on.set()
        assert running.result(PATIENCE) == b""
        stopping.result(PATIENCE)
        again.result(PATIENCE)
    server.stop()


def _refused(address: str) -> bool:
    with plaintext(address) as channel:
        try:
            call(channel, CHECK)
        except grpc.RpcError as error:
            return bool(error.code() is grpc.StatusCode.UNAVAILABLE)
        return False


def test_a_stop_gives_up_on_calls_after_its_grace(store: crudjt.Store, server: Server, channel: Any) -> None:
    with _hanging(server, channel) as call:
        server.stop(0.01)
        assert call.code() in ENDED


@contextmanager
def _hanging(server: Server, channel: Any) -> Iterator[Any]:
    """Make a call that has not sent its request when the block begins, and sends it at the end of the block."""
    end = threading.Event()

    def nothing() -> Iterator[bytes]:
        end.wait(2 * PATIENCE)
        yield b""

    call = channel.stream_unary(f"/{STORE_SERVICE}/DeleteMany").future(nothing(), timeout=PATIENCE)
    try:
        assert eventually(lambda: bool(server._dispatcher._calls))
        yield call
    finally:
        end.set()


def test_a_stop_where_no_thread_can_be_started_gives_calls_no_grace(
    store: crudjt.Store, server: Server, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the end of a process on Python 3.12 before 3.12.3."""
    with _hanging(server, channel) as call:
        with monkeypatch.context() as end:
            end.setattr(threading.Thread, "start", _refuse)
            server.stop(2 * PATIENCE)
        assert call.code() in ENDED


def _refuse(_thread: threading.Thread) -> None:
    raise RuntimeError("can't create new thread at interpreter shutdown")


def test_a_server_can_be_stopped_before_it_starts(store: crudjt.Store) -> None:
    server = Server(store, ["127.0.0.1:0"])
    server.stop()
    server.stop()


def test_a_script_that_never_stops_its_server_can_end(tmp_path: Path, secret_key: str) -> None:
    """Also while a client is connected."""
    script = f"""
import grpc, crudjt
from crudjt.server import Server
store = crudjt.open({str(tmp_path / "store")!r}, secret_key={secret_key!r})
server = Server(store, ["127.0.0.1:0"])
server.start()
channel = grpc.insecure_channel(server.addresses[0])
channel.unary_unary({CHECK!r})(b"", timeout=10)
print(store.create({{}}))
"""
    source = str(Path(crudjt.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={"PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    with crudjt.open(tmp_path / "store", secret_key=secret_key) as store:
        assert store.peek(done.stdout.strip()) is not None


# Health and reflection


@pytest.mark.parametrize("service", ["", STORE_SERVICE, TOKEN_SERVICE])
def test_a_server_is_healthy_as_a_whole_and_for_each_service(channel: Any, service: str) -> None:
    assert serves(channel, service)


def test_the_health_of_a_service_that_is_not_there_is_not_found(channel: Any) -> None:
    request = HealthCheckRequest(service="no.Such").SerializeToString()
    assert refusal(channel, CHECK, request).code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.slow
def test_a_store_that_fails_makes_the_server_unhealthy_until_it_serves_again(
    store: crudjt.Store, channel: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert serves(channel)
    with monkeypatch.context() as patched:
        patched.setattr(store, "peek", _failing)
        assert eventually(lambda: not serves(channel), PATIENCE)
        assert eventually(lambda: "the disk failed" in caplog.text)
    assert eventually(lambda: serves(channel), PATIENCE)


def _failing(_token: str) -> None:
    raise StoreFailed(Path("store"), "the disk failed")


def test_health_cannot_be_watched(channel: Any) -> None:
    """Clients fall back to checks, as the protocol says."""
    assert refusal(channel, "/grpc.health.v1.Health/Watch").code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_describes_the_methods_that_are_served_and_no_other(channel: Any, version: str) -> None:
    listed = described_methods(channel, version)
    assert listed.keys() == {
        *SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }  # fmt: skip
    for service, methods in SERVICES.items():
        assert listed[service] - {"Batch"} == methods.keys()
    for service, names in listed.items():
        for name in names:
            answers = channel.stream_stream(f"/{service}/{name}")(iter([]), timeout=PATIENCE)
            with suppress(grpc.RpcError):
                list(answers)
            assert answers.code() is not grpc.StatusCode.UNIMPLEMENTED
