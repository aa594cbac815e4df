"""Servers that die, stall or come back."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt._rpc.proto.v1 import store_pb2 as pb
from crudjt.server.services import store as store_service
from crudjt.server.services.method import Method
from tests.support.processes import Fork, ForkBelowPython, held_by_another_thread
from tests.support.remote_server import Serve, ServerProcess

TOKEN = "A" * 22


def die_after(name: str, methods: dict[str, Method]) -> dict[str, Method]:
    """Let the server carry a method out, and die before it answers."""
    method = methods[name]

    def call(store: crudjt.Store, request: Any) -> None:
        answer = method.call(store, request)
        if method.response_streaming:
            list(answer)
        os.kill(os.getpid(), signal.SIGKILL)

    return {**methods, name: method._replace(call=call)}


class Restarted:
    """A server that dies in a method, and another that takes its place at once, while the client may still ask."""

    def __init__(self, path: Path, secret_key: str, socket: Path, method: str) -> None:
        self._first = ServerProcess(path, secret_key, socket, partial(die_after, method))
        self._start = partial(ServerProcess, path, secret_key, socket)
        self._second: ServerProcess | None = None
        self._watching = threading.Thread(target=self._replace)

    def _replace(self) -> None:
        self._first._process.join(30)
        self._second = self._start()

    def __enter__(self) -> None:
        self._watching.start()

    def wait(self) -> None:
        self._watching.join(60)
        assert self._second is not None

    def __exit__(self, *_: object) -> None:
        self._first.end()
        self._watching.join(60)
        if self._second is not None:
            self._second.end()


def eventually(call: Callable[[], Any]) -> Any:
    """Return what a call returns once the client has connected again: it tries every second."""
    waited = threading.Event()
    for _ in range(600):
        with suppress(crudjt.StoreUnavailable):
            return call()
        waited.wait(0.05)
    raise AssertionError("the client did not connect again")


def test_where_nobody_serves_the_store_is_unavailable_and_says_where(socket: Path) -> None:
    with crudjt.open(f"unix://{socket}") as store:
        for call in (lambda: store.read(TOKEN), lambda: store.create({}), lambda: list(store.sessions("x"))):
            with pytest.raises(crudjt.StoreUnavailable) as caught:
                call()
            assert caught.value.location == f"unix://{socket}"
            assert caught.value.reason


@pytest.mark.slow
def test_a_killed_server_is_unavailable_and_a_restarted_one_is_found_by_itself(
    path: Path, secret_key: str, socket: Path
) -> None:
    with crudjt.open(f"unix://{socket}", timeout=30) as store:
        with ServerProcess(path, secret_key, socket) as server:
            token = store.create({"n": 1})
            server.kill()
            with pytest.raises(crudjt.StoreUnavailable):
                store.read(token)
        with ServerProcess(path, secret_key, socket):
            session = eventually(lambda: store.read(token))
            assert session is not None
            assert session.data == {"n": 1}


@pytest.mark.slow
def test_a_counted_read_that_got_no_answer_is_not_repeated(path: Path, secret_key: str, socket: Path) -> None:
    with crudjt.open(path, secret_key=secret_key) as embedded:
        token = embedded.create({}, max_reads=5)
        restarted = Restarted(path, secret_key, socket, "Read")
        with restarted, crudjt.open(f"unix://{socket}", timeout=30) as store:
            with pytest.raises(crudjt.StoreUnavailable):
                store.read(token)
            restarted.wait()
            session = eventually(lambda: store.peek(token))
            assert session.reads_left == 4


@pytest.mark.parametrize("method", ["Create", "CreateMany"])
@pytest.mark.slow
def test_a_create_that_got_no_answer_is_not_repeated(path: Path, secret_key: str, socket: Path, method: str) -> None:
    restarted = Restarted(path, secret_key, socket, method)
    with restarted, crudjt.open(f"unix://{socket}", timeout=30) as store:
        with pytest.raises(crudjt.StoreUnavailable):
            store.create({}) if method == "Create" else store.create_many([{}])
        restarted.wait()
        assert eventually(store.stats).sessions == 1


def test_a_call_that_takes_too_long_is_given_up(store: crudjt.Store, serve: Serve) -> None:
    go_on = threading.Event()

    def stall(_store: crudjt.Store, _request: Any) -> Any:
        go_on.wait(30)
        return pb.ReadResponse()

    location = serve({**store_service.METHODS, "Read": store_service.METHODS["Read"]._replace(call=stall)})
    try:
        with crudjt.open(location, timeout=0.2) as remote:
            with pytest.raises(crudjt.StoreUnavailable) as caught:
                remote.read(TOKEN)
            assert "in time" in caught.value.reason
    finally:
        go_on.set()


def test_closing_while_another_thread_waits_raises_store_closed_there(serve: Serve) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def stall(_store: crudjt.Store, _request: Any) -> Any:
        begun.set()
        go_on.wait(30)
        return pb.ReadResponse()

    location = serve({**store_service.METHODS, "Read": store_service.METHODS["Read"]._replace(call=stall)})
    remote = crudjt.open(location, timeout=60)
    raised: list[BaseException] = []

    def read() -> None:
        try:
            remote.read(TOKEN)
        except crudjt.CrudjtError as error:
            raised.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(30)
    remote.close()
    go_on.set()
    reader.join(30)
    assert [type(error) for error in raised] == [crudjt.StoreClosed]


def test_a_server_that_fails_without_a_known_error_makes_the_store_unavailable(serve: Serve) -> None:
    def fail(_store: crudjt.Store, _request: Any) -> Any:
        raise RuntimeError("hunter2")

    location = serve({**store_service.METHODS, "Read": store_service.METHODS["Read"]._replace(call=fail)})
    with crudjt.open(location) as remote:
        with pytest.raises(crudjt.StoreUnavailable) as caught:
            remote.read(TOKEN)
        assert "hunter2" not in str(caught.value)


def test_a_forked_child_connects_for_itself(path: Path, secret_key: str, socket: Path) -> None:
    with (
        ServerProcess(path, secret_key, socket),
        crudjt.open(f"unix://{socket}", timeout=30) as store,
    ):
        token = store.create({"n": 1})
        inherited = store._connection._channel  # type: ignore[attr-defined] # two processes on one would mix their calls

        def read_in_child() -> Any:
            session = store.read(token)
            own = store._connection._channel is not inherited  # type: ignore[attr-defined] # as above
            store.close()
            return session and session.data, own

        ended = Fork(read_in_child).wait()
        assert not ended.killed
        assert ended.result == ({"n": 1}, True)
        session = store.read(token)
        assert session is not None
        assert session.data == {"n": 1}


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent_that_connects(
    path: Path, secret_key: str, socket: Path
) -> None:
    """However it was forked: uWSGI calls no hook of Python."""
    with ServerProcess(path, secret_key, socket), crudjt.open(f"unix://{socket}", timeout=30) as store:

        def work() -> bool:
            assert store.read(store.create({"n": 1})) is not None
            store.close()
            return True

        with held_by_another_thread(store._connection._lock):  # type: ignore[attr-defined] # as while it connects
            assert ForkBelowPython(work).wait().result
