"""`Batch`: several operations in one call, of clients that are not ours too."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

import crudjt
from crudjt._rpc.chunking import MAX_OPERATIONS
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.server.metrics import Metrics
from crudjt.server.server import SERVICES, Server
from crudjt.server.services import store as store_service
from tests.support.servers import STORE_SERVICE, call, plaintext, refusal

BATCH = f"/{STORE_SERVICE}/Batch"
SECRET = "a-secret-that-no-client-and-no-log-may-see"


class Noted(Metrics):
    """Metrics that a test can read."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, str]] = []
        self.calls: list[tuple[str, str]] = []

    def count_call(self, method: str, code: grpc.StatusCode, _seconds: float) -> None:
        self.calls.append((method, code.name))

    def count_operation(self, operation: str, result: str) -> None:
        self.operations.append((operation, result))


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no batch end early because the machine is busy."""
    monkeypatch.setattr("crudjt.server.services.batch._ENOUGH_SECONDS", 30)


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def channel(store: crudjt.Store, noted: Noted) -> Iterator[Any]:
    def fail(_store: crudjt.Store, _request: Any) -> Any:
        raise KeyError(SECRET)

    methods = {**store_service.METHODS, "Touch": store_service.METHODS["Touch"]._replace(call=fail)}
    server = Server(store, ["127.0.0.1:0"], services={**SERVICES, STORE_SERVICE: methods}, observer=noted)
    server.start()
    with plaintext(server.addresses[0]) as channel:
        yield channel
    server.stop(0)


def batch(channel: Any, *operations: pb.Operation) -> list[pb.Outcome]:
    request = pb.BatchRequest(operations=operations)
    return list(pb.BatchResponse.FromString(call(channel, BATCH, request.SerializeToString())).outcomes)


def test_operations_are_carried_out_in_order_and_each_has_its_outcome(channel: Any, store: crudjt.Store) -> None:
    token = store.create({"n": 1})
    created, first, changed, second, deleted, absent = batch(
        channel,
        pb.Operation(create=pb.CreateRequest(data=b"\x80")),
        pb.Operation(read=pb.ReadRequest(token=token)),
        pb.Operation(update=pb.UpdateRequest(token=token, data=b"\x81\xa1n\x02")),
        pb.Operation(peek=pb.PeekRequest(token=token)),
        pb.Operation(delete=pb.DeleteRequest(token=token)),
        pb.Operation(read=pb.ReadRequest(token=token)),
    )
    assert (first.read.session.version, changed.update.found, second.peek.session.version) == (1, True, 2)
    assert (deleted.delete.found, absent.read) == (True, pb.ReadResponse())
    assert store.peek(created.create.token) is not None


def test_each_operation_is_counted_as_one_and_the_batch_as_one_call(channel: Any, noted: Noted) -> None:
    batch(
        channel,
        pb.Operation(create=pb.CreateRequest(data=b"\x80")),
        pb.Operation(delete=pb.DeleteRequest(token="A" * 22)),
        pb.Operation(create=pb.CreateRequest(data=bytes(70_000))),
    )
    assert noted.operations == [("create", "done"), ("delete", "missing")]
    assert noted.calls == [(BATCH, "OK")]


def test_a_fault_of_the_server_fails_one_operation_and_says_nothing_but_where(
    channel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    failed, created = batch(
        channel,
        pb.Operation(touch=pb.TouchRequest(token="A" * 22)),
        pb.Operation(create=pb.CreateRequest(data=b"\x80")),
    )
    assert failed.failure.code == grpc.StatusCode.INTERNAL.value[0]
    assert created.HasField("create")
    [record] = caplog.records
    assert record.getMessage().startswith(f"/{STORE_SERVICE}/Touch failed: KeyError in fail")
    assert SECRET not in f"{failed} {caplog.text}"


def test_an_operation_that_the_server_does_not_know_is_unimplemented(channel: Any) -> None:
    unknown, created = batch(channel, pb.Operation(), pb.Operation(create=pb.CreateRequest(data=b"\x80")))
    assert unknown.failure.code == grpc.StatusCode.UNIMPLEMENTED.value[0]
    assert created.HasField("create")


def test_a_batch_of_nothing_has_no_outcome(channel: Any) -> None:
    assert batch(channel) == []


def test_more_operations_than_a_batch_may_hold_are_refused_all(channel: Any, store: crudjt.Store) -> None:
    create = pb.Operation(create=pb.CreateRequest(data=b"\x80"))
    request = pb.BatchRequest(operations=[create] * (MAX_OPERATIONS + 1))
    status = refusal(channel, BATCH, request.SerializeToString())
    assert status.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "operations" in str(status.details())
    assert store.stats().sessions == 0


def test_every_operation_of_a_batch_is_a_method_of_the_service() -> None:
    operations: Any = pb.Operation.DESCRIPTOR.fields
    outcomes: Any = pb.Outcome.DESCRIPTOR.fields_by_name
    for field in operations:
        method: Any = store_service.METHODS[field.name.capitalize()]
        assert field.message_type is method.request.DESCRIPTOR
        assert outcomes[field.name].message_type is method.response.DESCRIPTOR
