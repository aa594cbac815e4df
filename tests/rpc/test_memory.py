"""How much of what clients send and ask for a server holds at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc
import pytest

import crudjt
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.server import Server
from crudjt.server.services.store import METHODS
from tests.support.processes import PATIENCE, eventually
from tests.support.servers import STORE_SERVICE, call, plaintext, refusal

BUDGET = 1_000_000
CREATE = f"/{STORE_SERVICE}/Create"
MANY = pb.CreateManyRequest(data=[b"\x81\xa1x\xc5\x0f\xa0" + bytes(4000)] * 100).SerializeToString()  # 400 KB


@pytest.fixture
def server(store: crudjt.Store) -> Iterator[Server]:
    server = Server(store, ["127.0.0.1:0"], max_held_bytes=BUDGET)
    server.start()
    yield server
    server.stop(0)


@pytest.fixture
def channel(server: Server) -> Iterator[Any]:
    with plaintext(server.addresses[0]) as channel:
        yield channel


@contextmanager
def unfinished(server: Server, channel: Any, messages: int) -> Iterator[Any]:
    """Begin a CreateMany that has sent some messages; the block ends it."""
    end = threading.Event()

    def requests() -> Iterator[bytes]:
        yield from [MANY] * messages
        assert end.wait(PATIENCE)

    held = server._dispatcher._budget._held + messages * len(MANY)
    started = channel.stream_stream(f"/{STORE_SERVICE}/CreateMany")(requests(), timeout=PATIENCE)
    assert eventually(lambda: server._dispatcher._budget._held == held or not started.is_active())
    try:
        yield started
    finally:
        end.set()
        with suppress(grpc.RpcError):
            list(started)


def test_streams_of_all_clients_share_one_half_of_the_budget(server: Server, channel: Any) -> None:
    with unfinished(server, channel, 1) as first, plaintext(server.addresses[0]) as other:
        with unfinished(server, other, 1) as second:
            assert second.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert first.is_active()
    assert first.code() is grpc.StatusCode.OK
    with unfinished(server, channel, 1) as third:
        assert third.is_active()
    assert third.code() is grpc.StatusCode.OK


def test_one_stream_may_not_exceed_its_half(server: Server, channel: Any) -> None:
    with unfinished(server, channel, 2) as stream:
        assert stream.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_streams_keep_no_single_request_out(server: Server, channel: Any) -> None:
    with unfinished(server, channel, 1):
        call(channel, CREATE, pb.CreateRequest(data=b"\x80").SerializeToString())


def test_a_request_that_exceeds_the_budget_is_refused(channel: Any) -> None:
    request = pb.CreateRequest(data=bytes(BUDGET)).SerializeToString()
    assert refusal(channel, CREATE, request).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    call(channel, CREATE, pb.CreateRequest(data=b"\x80").SerializeToString())


def test_many_sessions_are_read_and_sent_in_pieces(store: crudjt.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 8 MiB at most, by the largest data that the store takes."""
    tokens = store.create_many([{"n": n} for n in range(5000)])
    read_many, pieces = store.read_many, []

    def counted(some: list[str]) -> list[crudjt.Session | None]:
        pieces.append(len(some))
        return read_many(some)

    monkeypatch.setattr(store, "read_many", counted)
    answers = METHODS["ReadMany"].call(store, iter([pb.ReadManyRequest(tokens=tokens)]))
    first = next(answers)
    assert len(pieces) == 1
    sessions = [result.session for answer in (first, *answers) for result in answer.results]
    assert [session.data[-1] for session in sessions[:100]] == list(range(100))
    assert len(sessions) == 5000
    assert store.max_data_bytes is not None
    assert max(pieces) * store.max_data_bytes <= 8 * 1024**2
