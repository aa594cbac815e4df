"""A server serves any `crudjt.Store`, by its public interface alone."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import crudjt
from crudjt import CRUDJT
from crudjt.server import Server
from tests.support.remote_server import Serve


@pytest.fixture
def served(serve: Serve, tmp_path: Path) -> Iterator[Server]:
    """A server whose store is itself on a server."""
    with ExitStack() as stack:
        relayed = stack.enter_context(crudjt.open(serve(), timeout=100))
        server = Server(relayed, ["127.0.0.1:0", f"unix:{tmp_path}/relay"])
        server.start()
        stack.callback(server.stop, 0)
        yield server


def test_a_store_on_a_server_can_be_served(
    served: Server, store: crudjt.Store, tmp_path: Path, secret_key: str
) -> None:
    with crudjt.open(f"grpc://{served.addresses[0]}", timeout=100) as remote:
        token = remote.create({"n": 1}, subject="a")
        assert remote.update(token, {"n": 2})
        with pytest.raises(crudjt.VersionConflict):
            remote.update(token, {"n": 3}, if_version=1)
        others = remote.create_many([{"n": n} for n in range(3)], subject="a")
        assert [session and session.data for session in remote.read_many([token, *others, "A" * 22])] == [
            {"n": 2}, {"n": 0}, {"n": 1}, {"n": 2}, None,
        ]  # fmt: skip
        assert len(list(remote.sessions("a"))) == 4
        assert remote.stats().sessions == store.stats().sessions == 4
        with pytest.raises(crudjt.DataTooLarge):
            remote.create({"x": bytes(70_000)})
        remote.backup(tmp_path / "copy")
        assert remote.revoke("a") == 4
    with crudjt.open(tmp_path / "copy", secret_key=secret_key) as copy:
        assert copy.peek(token) is not None


def test_clients_of_the_original_are_served_too(served: Server) -> None:
    host, _, port = served.addresses[0].rpartition(":")
    CRUDJT.Config.connect_to_master(grpc_host=host, grpc_port=int(port))
    try:
        token = CRUDJT.create({"n": 1}, None, 2)
        assert CRUDJT.read(token) == {"metadata": {"silence_read": 1}, "data": {"n": 1}}
    finally:
        CRUDJT.Config.shutdown_server()
