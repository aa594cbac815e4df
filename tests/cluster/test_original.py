"""The interface of the original engine over a store on servers."""

import pytest

from crudjt.compat import CRUDJT
from tests.support.ports import free_port
from tests.support.valkey_stores import ServerPool


@pytest.mark.slow
def test_a_master_keeps_its_sessions_on_a_cluster(servers: ServerPool, namespace: str, secret_key: str) -> None:
    url = servers.cluster("valkey").url(namespace)
    CRUDJT.Config.start_master(secret_key=secret_key, store_jt_path=url, grpc_port=free_port())
    try:
        token = CRUDJT.create({"user_id": 42}, silence_read=3)
        assert CRUDJT.read(token) == {"metadata": {"silence_read": 2}, "data": {"user_id": 42}}
        assert CRUDJT.update(token, {"user_id": 7})
        assert CRUDJT.read(token) == {"data": {"user_id": 7}}
        assert CRUDJT.delete(token)
        assert CRUDJT.read(token) is None
    finally:
        CRUDJT.Config.shutdown_server()
