"""What happens to a call, whatever its method: bad messages, errors, deadlines, slow clients, limits."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from google.protobuf.message import DecodeError, Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import crudjt
from crudjt._rpc.proto import token_pb2
from crudjt._rpc.proto.v1 import store_pb2
from crudjt.server import transport
from crudjt.server.handlers import Dispatcher
from crudjt.server.server import MAX_HELD_BYTES, SERVICES, Server
from crudjt.server.services.method import Method
from crudjt.testing import temporary_store
from tests.support.processes import eventually
from tests.support.servers import PATIENCE, STORE_SERVICE, TOKEN_SERVICE, call, plaintext, refusal, serves

BATCH = f"/{STORE_SERVICE}/Batch"
SECRET = "a-secret-that-no-client-and-no-log-may-see"
MIB = 1024**2


class Played:
    """The methods of a service of the tests."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.calls = 0

    def answer(self, _store: Any, _request: Any) -> Message:
        self.calls += 1
        return HealthCheckResponse(status=HealthCheckResponse.SERVING)

    def fail(self, _store: Any, _request: Any) -> Message:
        raise KeyError(SECRET)

    def fail_late(self, _store: Any, _request: Any) -> Iterator[Message]:
        yield HealthCheckResponse()
        raise KeyError(SECRET)

    def full(self, _store: Any, _request: Any) -> Message:
        raise crudjt.StoreFull(Path("store"), "the disk is full")

    def wait(self, _store: Any, _request: Any) -> Message:
        self.started.release()
        assert self.go_on.wait(PATIENCE)
        return HealthCheckResponse()

    def count(self, _store: Any, requests: Iterator[HealthCheckRequest]) -> Message:
        return HealthCheckResponse(status=len(list(requests)))

    def flood(self, _store: Any, _request: Any) -> Iterator[Message]:
        self.started.release()
        while True:
            yield HealthCheckRequest(service="x" * MIB)

    def methods(self) -> dict[str, Method]:
        types = HealthCheckRequest, HealthCheckResponse
        return {
            "Answer": Method(*types, self.answer),
            "Fail": Method(*types, self.fail),
            "FailLate": Method(*types, self.fail_late, response_streaming=True),
            "Full": Method(*types, self.full),
            "Wait": Method(*types, self.wait),
            "Count": Method(*types, self.count, request_streaming=True),
            "Flood": Method(*types, self.flood, response_streaming=True),
        }


@pytest.fixture
def played() -> Iterator[Played]:
    played = Played()
    yield played
    played.go_on.set()


@pytest.fixture
def options() -> dict[str, Any]:
    """Let a test replace what the server takes."""
    return {}


@pytest.fixture
def server(store: crudjt.Store, played: Played, options: dict[str, Any]) -> Iterator[Server]:
    server = Server(store, ["127.0.0.1:0"], services={**SERVICES, "test.Played": played.methods()}, **options)
    server.start()
    yield server
    played.go_on.set()
    server.stop(0)


@pytest.fixture
def channel(server: Server) -> Iterator[Any]:
    with plaintext(server.addresses[0]) as channel:
        yield channel


def every_method() -> list[str]:
    return [BATCH, *(f"/{service}/{name}" for service, methods in SERVICES.items() for name in methods)]


# Bad messages


@pytest.mark.parametrize("method", every_method())
def test_what_is_no_protobuf_is_an_invalid_argument(channel: Any, method: str) -> None:
    status = refusal(channel, method, b"\xff" * 20)
    assert status.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "in protobuf" in str(status.details())


def test_a_call_without_a_request_is_an_invalid_argument(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        channel.stream_unary("/test.Played/Answer")(iter(()), timeout=PATIENCE)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_bad_message_within_a_stream_is_an_invalid_argument(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        channel.stream_unary("/test.Played/Count")(iter([b"", b"\xff"]), timeout=PATIENCE)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("method", ["/test.Played/NoSuch", "/no.Such/Method", "/", "/x"])
def test_an_unknown_method_is_unimplemented(channel: Any, method: str) -> None:
    assert refusal(channel, method).code() is grpc.StatusCode.UNIMPLEMENTED


BAD_DATA = {
    "empty": b"",
    "no map": msgspec.msgpack.encode([1]),
    "cut short": msgspec.msgpack.encode({"a": "x" * 100})[:-1],
    "with more behind it": msgspec.msgpack.encode({}) + b"\x00",
    "nested deep": b"\x81\xa1a" + b"\x91" * 100_000 + b"\xc0",
    "a map of 4 billion": b"\xdf\xff\xff\xff\xff",
    "a text of 4 GB": b"\x81\xa1a\xdb\xff\xff\xff\xff",
    "a list of 4 billion": b"\x81\xa1a\xdd\xff\xff\xff\xff",
    "an unused code": b"\x81\xa1a\xc1",
    "a text that is no UTF-8": b"\x81\xa1a\xa1\xff",
    "a map as a key": b"\x81\x81\xa1a\x01\x01",
}


@pytest.mark.parametrize("data", BAD_DATA.values(), ids=BAD_DATA)
def test_what_is_no_map_in_messagepack_is_an_invalid_argument(channel: Any, store: crudjt.Store, data: bytes) -> None:
    token = store.create({"kept": True})
    for path, request in (
        (f"/{STORE_SERVICE}/Create", store_pb2.CreateRequest(data=data)),
        (f"/{STORE_SERVICE}/Update", store_pb2.UpdateRequest(token=token, data=data)),
        (f"/{TOKEN_SERVICE}/CreateToken", token_pb2.CreateTokenRequest(packed_data=data)),
        (f"/{TOKEN_SERVICE}/UpdateToken", token_pb2.UpdateTokenRequest(token=token, packed_data=data)),
    ):
        assert refusal(channel, path, request.SerializeToString()).code() is grpc.StatusCode.INVALID_ARGUMENT
    session = store.read(token)
    assert session is not None
    assert session.data == {"kept": True}
    assert store.stats().sessions == 1


# Errors


@pytest.mark.parametrize("method", ["Fail", "FailLate"])
def test_a_fault_of_the_server_is_internal_and_says_nothing_but_where(
    channel: Any, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        list(channel.unary_stream(f"/test.Played/{method}")(b"", timeout=PATIENCE))
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert SECRET not in f"{raised.value.details()} {raised.value.trailing_metadata()}"
    [record] = caplog.records
    assert record.getMessage().startswith(f"/test.Played/{method} failed: KeyError in fail")
    assert SECRET not in caplog.text
    assert record.exc_info is None


def test_what_ails_the_store_is_told_to_the_client_and_logged_once_a_minute(
    channel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        status = refusal(channel, "/test.Played/Full")
        assert status.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "the disk is full" in str(status.details())
    assert len(caplog.records) == 1


# Deadlines and slow clients


@pytest.mark.parametrize("options", [{"threads": 1}])
@pytest.mark.slow
def test_a_call_whose_deadline_passes_while_it_waits_is_not_begun(server: Server, channel: Any, played: Played) -> None:
    running = channel.unary_unary("/test.Played/Wait").future(b"", timeout=PATIENCE)
    assert played.started.acquire(timeout=PATIENCE)
    for seconds in (1, 4, 16):  # on a busy machine, the deadline may pass before the server knows of the call
        late = channel.unary_unary("/test.Played/Answer").future(b"", timeout=seconds)
        if eventually(lambda: len(server._pool._waiting) == 1, seconds):
            break
    time.sleep(seconds + 0.1)  # it is by the clock of the machine, and began to run before the server knew of the call
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    played.go_on.set()
    running.result(PATIENCE)
    call(channel, "/test.Played/Answer")
    assert played.calls == 1


class TooLate:
    """The context of a call whose deadline has passed, of which gRPC has not heard yet."""

    def time_remaining(self) -> float:
        return 0.0

    def set_trailing_metadata(self, _metadata: Any) -> None:
        pass

    def abort(self, code: grpc.StatusCode, _details: str) -> None:
        raise ConnectionAbortedError(code)


def test_the_clock_of_the_server_tells_too_that_it_is_too_late_to_begin(store: crudjt.Store, played: Played) -> None:
    handlers = Dispatcher(store, None, PATIENCE, MAX_HELD_BYTES).handlers("test.Played", played.methods())
    answer: Any = handlers["Answer"].stream_unary
    with pytest.raises(ConnectionAbortedError) as raised:
        answer(iter([b""]), TooLate())
    assert raised.value.args == (grpc.StatusCode.DEADLINE_EXCEEDED,)
    assert played.calls == 0


@pytest.mark.parametrize("options", [{"threads": 2, "client_timeout": 0.5}])
@pytest.mark.slow
def test_clients_that_do_not_send_their_request_are_given_up_on(channel: Any, played: Played) -> None:
    release = threading.Event()

    def nothing() -> Iterator[bytes]:
        release.wait(PATIENCE)
        yield from ()

    slow = [channel.stream_unary("/test.Played/Answer").future(nothing(), timeout=PATIENCE) for _ in range(4)]
    call(channel, "/test.Played/Answer")
    for each in slow:
        assert each.exception(PATIENCE).code() is grpc.StatusCode.CANCELLED
    release.set()
    assert played.calls == 1


@pytest.mark.parametrize("options", [{"threads": 2, "client_timeout": 0.5}])
@pytest.mark.slow
def test_clients_that_do_not_read_the_answer_are_given_up_on(channel: Any, played: Played) -> None:
    slow = [channel.unary_stream("/test.Played/Flood")(b"", timeout=PATIENCE) for _ in range(4)]
    for _ in slow:
        assert played.started.acquire(timeout=PATIENCE)
    call(channel, "/test.Played/Answer")
    for each in slow:
        each.cancel()


def test_a_call_that_takes_long_in_the_store_is_not_given_up_on(store: crudjt.Store, played: Played) -> None:
    server = Server(store, ["127.0.0.1:0"], services={"test.Played": played.methods()}, client_timeout=PATIENCE)
    server.start()
    with plaintext(server.addresses[0]) as channel:
        running = channel.unary_unary("/test.Played/Wait").future(b"", timeout=PATIENCE)
        assert played.started.acquire(timeout=PATIENCE)
        server._dispatcher._client_timeout = -1  # whoever is waited for has waited too long
        server._dispatcher.give_up()
        played.go_on.set()
        assert running.result(PATIENCE) == b""
    server.stop(0)


# Limits


@pytest.mark.slow
def test_a_message_of_10_mb_is_resource_exhausted(channel: Any, played: Played) -> None:
    for method in ("/test.Played/Answer", f"/{STORE_SERVICE}/Create", f"/{TOKEN_SERVICE}/CreateToken"):
        assert refusal(channel, method, bytes(10 * MIB)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert played.calls == 0
    assert serves(channel)


@pytest.mark.parametrize("options", [{"threads": 1, "max_concurrent_rpcs": 3}])
def test_more_calls_than_may_wait_are_resource_exhausted(channel: Any, played: Played) -> None:
    waiting = [channel.unary_unary("/test.Played/Wait").future(b"", timeout=PATIENCE) for _ in range(10)]
    assert eventually(lambda: sum(each.done() for each in waiting) == 7, PATIENCE)
    assert {each.code() for each in waiting if each.done()} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    played.go_on.set()
    codes = [each.code() for each in waiting if each.exception(PATIENCE) is None]
    assert codes == [grpc.StatusCode.OK] * 3
    call(channel, "/test.Played/Answer")


# Any bytes


CLEAR = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
}


def requests_of(message_type: type[Message]) -> st.SearchStrategy[bytes]:
    """Return any bytes, or any bytes in the fields of the message."""
    fields = message_type.DESCRIPTOR.fields_by_number
    length_delimited = st.builds(
        lambda number, content: bytes([(number << 3) | 2, len(content)]) + content,
        st.sampled_from(sorted(fields) or [1]),
        st.binary(max_size=100) | st.text(max_size=22).map(lambda text: text.encode()[:100]),
    )
    varint = st.builds(
        lambda number, low: bytes([number << 3, *([0xFF] * low), 0x01]),
        st.sampled_from(sorted(fields) or [1]),
        st.integers(0, 9),
    )
    return st.binary(max_size=200) | st.lists(length_delimited | varint, max_size=6).map(b"".join)


def goes_on_for_ever(name: str, request: bytes) -> bool:
    with suppress(DecodeError):
        return name == "Events" and store_pb2.EventsRequest.FromString(request).follow
    return False


@pytest.mark.parametrize("path", every_method())
def test_any_bytes_get_an_answer_or_a_clear_status(path: str, shared: Any) -> None:
    _, service, name = path.split("/")
    request_type = store_pb2.BatchRequest if path == BATCH else SERVICES[service][name].request

    @settings(max_examples=60, database=None)
    @given(requests_of(request_type))
    def feed(request: bytes) -> None:
        assume(not goes_on_for_ever(name, request))
        responses = shared.stream_stream(path)(iter([request]), timeout=PATIENCE)
        with suppress(grpc.RpcError):
            list(responses)
        assert responses.code() in CLEAR, responses.details()

    feed()


@pytest.fixture(scope="module")
def shared() -> Iterator[Any]:
    with temporary_store() as store:
        server = Server(store, ["127.0.0.1:0"])
        server.start()
        with plaintext(server.addresses[0]) as channel:
            yield channel
            assert serves(channel)
        server.stop(0)


# Connections


def test_a_connection_that_says_nothing_is_closed(store: crudjt.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "OPTIONS", {**transport.OPTIONS, "grpc.server_handshake_timeout_ms": 200})
    server = Server(store, ["127.0.0.1:0"])
    server.start()
    host, _, port = server.addresses[0].partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        while connection.recv(4096):  # the settings of the server
            pass
    server.stop(0)
