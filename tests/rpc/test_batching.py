"""Many threads with one remote store: what they ask at a time goes out together, and each gets its own answer."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

import crudjt
from crudjt._backends.grpc import coalescing
from crudjt._backends.grpc.coalescing import MAX_CALLS, Batching
from crudjt._rpc.chunking import MAX_REQUEST_DATA_BYTES, PART_BYTES
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.server.services import batch
from crudjt.server.services import store as store_service
from crudjt.server.services.method import Method
from tests.support.processes import eventually
from tests.support.remote_server import Serve, ServerProcess

PATIENCE = 30
STALLING = "S" * 21 + "A"  # a token whose deletion takes as long as the test wants
METHODS = store_service.METHODS


class Counting:
    """Counts the calls of a server, and the operations on its store."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def observed(self, store: crudjt.Store) -> crudjt.Store:
        return store

    def count_call(self, method: str, code: grpc.StatusCode, _seconds: float) -> None:
        if code is grpc.StatusCode.OK:
            self.calls[method.rpartition("/")[2]] += 1


class Gate:
    """Stalls the deletion of a token, so that other changes wait in the client."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def methods(self, methods: dict[str, Method] = METHODS) -> dict[str, Method]:
        delete = methods["Delete"]

        def stall(store: crudjt.Store, request: Any) -> Any:
            if request.token == STALLING:
                assert self.open.wait(PATIENCE)
            return delete.call(store, request)

        return {**methods, "Delete": delete._replace(call=stall)}


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no batch end early because the machine is busy."""
    monkeypatch.setattr(batch, "_ENOUGH_SECONDS", PATIENCE)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def counting() -> Counting:
    return Counting()


@contextmanager
def crowd(remote: crudjt.Store, operations: list[Callable[[], Any]]) -> Iterator[list["Future[Any]"]]:
    """Ask for changes in a thread each, all of which wait in the client when the block begins: the gate is closed."""
    with ThreadPoolExecutor(MAX_CALLS + len(operations)) as threads:
        for _ in range(MAX_CALLS):
            threads.submit(remote.delete, STALLING)
        assert eventually(lambda: lane(remote) is not None and lane(remote)._running == MAX_CALLS, PATIENCE)
        futures = [threads.submit(operation) for operation in operations]
        assert reaches(lane(remote), waiting=len(operations))
        yield futures


def reaches(turns: Batching, *, waiting: int) -> bool:
    """Tell whether so many threads come to wait."""
    return eventually(lambda: len(turns._waiting) == waiting, PATIENCE)


def lane(remote: crudjt.Store) -> Any:
    """Return where the changes of a remote store wait."""
    return remote._connection._batching.get("Create")  # type: ignore[attr-defined] # nothing else tells that they wait


# What goes out together


def test_a_thread_alone_makes_one_call_for_each_operation(serve: Serve, counting: Counting) -> None:
    with crudjt.open(serve(observer=counting)) as remote:
        token = remote.create({"n": 1})
        remote.read(token)
        remote.delete(token)
    assert counting.calls == {"Create": 1, "Read": 1, "Delete": 1}


def test_what_many_threads_ask_goes_out_in_one_call_and_each_gets_its_own_answer(
    store: crudjt.Store, serve: Serve, gate: Gate, counting: Counting
) -> None:
    tokens = [store.create({"n": n}, ttl=100, subject=f"{n}") for n in range(10)]
    with crudjt.open(serve(gate.methods(), observer=counting), timeout=PATIENCE) as remote:
        operations: list[Callable[[], Any]] = [
            *(partial(remote.update, token, {"n": 100 + n}) for n, token in enumerate(tokens)),
            partial(remote.create, {"new": True}, 100, 3, idle=50, subject="me"),
            partial(remote.rotate, tokens[8]),
            partial(remote.touch, tokens[7], None),
            partial(remote.delete, tokens[9]),
            partial(remote.delete, "x" * 21 + "A"),
        ]
        with crowd(remote, operations) as futures:
            gate.open.set()
            *updated, created, rotated, touched, deleted, absent = [future.result(PATIENCE) for future in futures]
    assert updated == [True] * 10
    assert (touched, deleted, absent) == (True, True, False)
    assert counting.calls == {"Delete": MAX_CALLS, "Batch": 1}
    assert [each and each.data["n"] for each in map(store.peek, tokens)] == [*range(100, 108), None, None]
    assert [each and each.expires_at for each in [store.peek(tokens[7])]] == [None]
    new, moved = store.peek(created), store.peek(rotated)
    assert new is not None
    assert moved is not None
    assert (new.data, new.subject, new.reads_left, moved.subject) == ({"new": True}, "me", 3, "8")


def test_reads_do_not_wait_for_changes(store: crudjt.Store, serve: Serve, gate: Gate) -> None:
    token = store.create({"n": 1})
    with (
        crudjt.open(serve(gate.methods()), timeout=PATIENCE) as remote,
        crowd(remote, [partial(remote.update, token, {"n": 2})]),
    ):
        session = remote.read(token)
        gate.open.set()
    assert session is not None
    assert session.data == {"n": 1}


def test_more_operations_than_a_batch_may_hold_go_out_in_several(
    store: crudjt.Store, serve: Serve, gate: Gate, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "MAX_OPERATIONS", 4)
    with (
        crudjt.open(serve(gate.methods(), observer=counting), timeout=PATIENCE) as remote,
        crowd(remote, [partial(remote.create, {"n": n}) for n in range(10)]) as futures,
    ):
        gate.open.set()
        tokens = [future.result(PATIENCE) for future in futures]
    assert counting.calls["Batch"] + counting.calls["Create"] == 3
    assert [each and each.data["n"] for each in map(store.peek, tokens)] == list(range(10))


def test_large_requests_do_not_make_a_message_that_is_too_large(serve: Serve, gate: Gate) -> None:
    """The server refuses their data, each by itself."""
    with crudjt.open(serve(gate.methods()), timeout=PATIENCE) as remote:
        large = {"x": bytes(900_000)}
        with crowd(remote, [partial(remote.create, large)] * 6) as futures:
            gate.open.set()
            assert {type(future.exception(PATIENCE)) for future in futures} == {crudjt.DataTooLarge}


def test_large_answers_do_not_make_a_message_that_is_too_large(serve: Serve, gate: Gate, counting: Counting) -> None:
    """Also where the last is as large as can be. What had no room is asked for again, and counted once."""
    sizes = [PART_BYTES - 5000, MAX_REQUEST_DATA_BYTES - 5000, 10, 10, MAX_REQUEST_DATA_BYTES - 5000, PART_BYTES]
    data = {f"{n}" * 21 + "A": msgspec.msgpack.encode({"x": bytes(size)}) for n, size in enumerate(sizes)}
    read: list[str] = []

    def answer(_store: crudjt.Store, request: pb.ReadRequest) -> pb.ReadResponse:
        if request.token not in data:
            assert gate.open.wait(PATIENCE)
            return pb.ReadResponse()
        read.append(request.token)
        return pb.ReadResponse(session=pb.Session(data=data[request.token], id=bytes(16), version=1))

    methods = {**METHODS, "Read": METHODS["Read"]._replace(call=answer)}
    with crudjt.open(serve(methods, observer=counting), timeout=PATIENCE) as remote, ThreadPoolExecutor(20) as threads:
        for _ in range(MAX_CALLS):
            threads.submit(remote.read, STALLING)
        reads = remote._connection._batching  # type: ignore[attr-defined] # nothing else tells that they wait
        assert eventually(lambda: bool(reads) and reads["Read"]._running == MAX_CALLS, PATIENCE)
        futures = []
        for number, token in enumerate(data):
            futures.append(threads.submit(remote.read, token))
            assert reaches(reads["Read"], waiting=number + 1)
        gate.open.set()
        sessions = [future.result(PATIENCE) for future in futures]
    assert [session and len(session.data["x"]) for session in sessions] == sizes
    assert sorted(read) == sorted(data)
    assert counting.calls["Batch"] >= 2


# What goes wrong


def test_each_thread_gets_its_own_error(store: crudjt.Store, serve: Serve, gate: Gate) -> None:
    token = store.create({})

    def fail(_store: crudjt.Store, _request: Any) -> Any:
        raise RuntimeError("hunter2")

    def refuse(_store: crudjt.Store, _request: Any) -> Any:
        raise crudjt.InvalidParameter("ttl", "ttl must be above 0")

    methods = gate.methods(
        {**METHODS, "Touch": METHODS["Touch"]._replace(call=fail), "Rotate": METHODS["Rotate"]._replace(call=refuse)}
    )
    with crudjt.open(serve(methods), timeout=PATIENCE) as remote:
        operations: list[Callable[[], Any]] = [
            partial(remote.update, token, {}, if_version=7),
            partial(remote.touch, token, 5),
            partial(remote.create, {"x": "y" * 70_000}),
            partial(remote.rotate, token),
            partial(remote.update, token, {"n": 2}),
        ]
        with crowd(remote, operations) as futures:
            gate.open.set()
            conflict, fault, large, bad = [future.exception(PATIENCE) for future in futures[:-1]]
            assert futures[-1].result(PATIENCE) is True
    assert isinstance(conflict, crudjt.VersionConflict)
    assert (conflict.expected, conflict.actual) == (7, 1)
    assert isinstance(fault, crudjt.StoreUnavailable)
    assert "INTERNAL" in fault.reason
    assert "hunter2" not in str(fault)
    assert isinstance(large, crudjt.DataTooLarge)
    assert isinstance(bad, crudjt.InvalidParameter)
    assert (bad.parameter, bad.problem) == ("ttl", "ttl must be above 0")


def test_a_store_that_fails_once_fails_one_operation(
    store: crudjt.Store, serve: Serve, gate: Gate, counting: Counting
) -> None:
    """The rest of its batch was not begun, and goes out again."""
    refusals = [crudjt.StoreFull(Path("store"), "the disk is full")]
    create = METHODS["Create"]

    def fill(store: crudjt.Store, request: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return create.call(store, request)

    methods = gate.methods({**METHODS, "Create": create._replace(call=fill)})
    with (
        crudjt.open(serve(methods, observer=counting), timeout=PATIENCE) as remote,
        crowd(remote, [partial(remote.create, {})] * 10) as futures,
    ):
        gate.open.set()
        failed = [future.exception(PATIENCE) for future in futures]
    assert [type(each) for each in failed if each is not None] == [crudjt.StoreFull]
    assert counting.calls["Batch"] == 2
    assert store.stats().sessions == 9


def test_a_batch_that_takes_long_is_answered_in_between(
    store: crudjt.Store, serve: Serve, gate: Gate, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_ENOUGH_SECONDS", -1)  # each operation is already too long
    with (
        crudjt.open(serve(gate.methods(), observer=counting), timeout=PATIENCE) as remote,
        crowd(remote, [partial(remote.create, {})] * 10) as futures,
    ):
        gate.open.set()
        tokens = {future.result(PATIENCE) for future in futures}
    assert len(tokens) == store.stats().sessions == 10
    assert counting.calls["Batch"] + counting.calls["Create"] == 10


def die_in_create(gate: Path, methods: dict[str, Method]) -> dict[str, Method]:
    """Stall deletions until there is a file, and let the server die after the first create."""
    create = METHODS["Create"]

    def stall(_store: crudjt.Store, _request: Any) -> Any:
        assert eventually(gate.exists, PATIENCE)
        return pb.DeleteResponse()

    def die(store: crudjt.Store, request: Any) -> Any:
        create.call(store, request)
        os.kill(os.getpid(), signal.SIGKILL)

    return {
        **methods,
        "Delete": methods["Delete"]._replace(call=stall),
        "Create": create._replace(call=die),
    }


@pytest.mark.slow
def test_a_server_that_dies_in_a_batch_is_unavailable_to_all_and_nothing_is_repeated(
    path: Path, secret_key: str, socket: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with crudjt.open(f"unix://{socket}", timeout=PATIENCE) as remote:
        dying = ServerProcess(path, secret_key, socket, partial(die_in_create, gate))
        with dying, crowd(remote, [partial(remote.create, {})] * 5) as futures:
            gate.touch()
            errors = [future.exception(PATIENCE) for future in futures]
        assert {type(error) for error in errors} == {crudjt.StoreUnavailable}
        with ServerProcess(path, secret_key, socket):
            assert eventually(lambda: _sessions(remote) == 1, PATIENCE)


def _sessions(remote: crudjt.Store) -> int | None:
    try:
        return remote.stats().sessions
    except crudjt.StoreUnavailable:
        return None


def test_closing_ends_what_waits_in_the_client(serve: Serve, gate: Gate) -> None:
    remote = crudjt.open(serve(gate.methods()), timeout=PATIENCE)
    with crowd(remote, [partial(remote.create, {})] * 5) as futures:
        remote.close()
        assert {type(future.exception(PATIENCE)) for future in futures} == {crudjt.StoreClosed}
        gate.open.set()


# Turns, without a server


class Calls:
    """Carries calls out when it may, those of one operation and batches: tokens of deletions, in order."""

    def __init__(self) -> None:
        self.may_end = threading.Semaphore(0)
        self.batch_may_end = threading.Semaphore(0)
        self.batches: list[list[str]] = []

    def __call__(self, name: str, request: Any, _timeout: float) -> Any:
        tokens = [each.delete.token for each in request.operations] if name == "Batch" else [request.token]
        self.batches.append(tokens)
        assert (self.batch_may_end if name == "Batch" else self.may_end).acquire(timeout=PATIENCE)
        if "interrupted" in tokens:
            raise KeyboardInterrupt
        if "none" in tokens:
            return pb.BatchResponse()
        if name == "Batch":
            return pb.BatchResponse(outcomes=[pb.Outcome(delete=pb.DeleteResponse(found=True)) for _ in tokens])
        return pb.DeleteResponse(found=True)

    def go_on(self) -> None:
        """Let all calls end."""
        self.may_end.release(100)
        self.batch_may_end.release(100)


@pytest.fixture
def calls() -> Iterator[Calls]:
    calls = Calls()
    yield calls
    calls.go_on()


@contextmanager
def full(turns: Batching, *tokens: str) -> Iterator[list["Future[Any]"]]:
    """Let as many calls be under way as may be, and others wait, in order."""
    with ThreadPoolExecutor(20) as threads:
        for _ in range(MAX_CALLS):
            threads.submit(delete, turns, "first")
        assert eventually(lambda: turns._running == MAX_CALLS, PATIENCE)
        futures = []
        for number, token in enumerate(tokens):
            futures.append(threads.submit(delete, turns, token))
            assert reaches(turns, waiting=number + 1)
        yield futures


def delete(turns: Batching, token: str, timeout: float = PATIENCE) -> bool:
    found: bool = turns.ask("Delete", pb.DeleteRequest(token=token), timeout).found
    return found


def test_what_waits_longer_than_it_may_is_not_sent(calls: Calls) -> None:
    turns = Batching(calls)
    with full(turns, "a", "b") as futures:
        with pytest.raises(TimeoutError):
            delete(turns, "late", 0.01)
        calls.go_on()
        assert [future.result(PATIENCE) for future in futures] == [True, True]
    assert calls.batches == [*[["first"]] * MAX_CALLS, ["a", "b"]]


def test_an_answer_without_outcomes_is_an_error_to_all(calls: Calls) -> None:
    turns = Batching(calls)
    with full(turns, "none", "b") as futures:
        calls.go_on()
        assert {type(future.exception(PATIENCE)) for future in futures} == {InterruptedError}


def test_an_interrupted_thread_leaves_nobody_waiting(calls: Calls) -> None:
    turns = Batching(calls)
    with full(turns, "a", "b", "interrupted") as futures:
        calls.go_on()
        errors = [type(future.exception(PATIENCE)) for future in futures]
    assert errors == [InterruptedError, InterruptedError, KeyboardInterrupt]
    assert delete(turns, "later")


def test_two_threads_do_not_wait_for_each_other(calls: Calls) -> None:
    turns = Batching(calls)
    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(delete, turns, "x") for _ in range(2)]
        assert eventually(lambda: len(calls.batches) == 2, PATIENCE)
        calls.go_on()
        assert [future.result(PATIENCE) for future in futures] == [True, True]


def test_while_much_goes_out_together_one_call_at_a_time_is_made(calls: Calls) -> None:
    turns = Batching(calls)
    with full(turns, "a", "b"), ThreadPoolExecutor(1) as threads:
        calls.may_end.release(MAX_CALLS)
        assert eventually(lambda: (calls.batches[-1], turns._running) == (["a", "b"], 1), PATIENCE)
        late = threads.submit(delete, turns, "late")
        assert reaches(turns, waiting=1)
        calls.go_on()
        assert late.result(PATIENCE)
    assert calls.batches[-1] == ["late"]
