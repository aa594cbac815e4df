"""The audit log of a server."""

import hashlib
import logging
from pathlib import Path

import pytest

import crudjt
from crudjt.server import Server
from tests.support.stores import read

ACCESS_TOKEN = "q" * 32


@pytest.fixture
def audited(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "crudjt.audit")
    return caplog


def test_what_is_for_operators_is_recorded_and_nothing_else(
    path: Path, tmp_path: Path, secret_key: str, audited: pytest.LogCaptureFixture
) -> None:
    """With the fingerprint of the access token, and never with a token or data."""
    socket = tmp_path / "s"
    with crudjt.open(path, secret_key=secret_key) as store:
        server = Server(store, [f"unix:{socket}"], access_tokens=[ACCESS_TOKEN])
        server.start()
        try:
            with crudjt.open(f"unix:{socket}", access_token=ACCESS_TOKEN) as client:
                token = client.create({"secret": 1}, subject="alice")
                handle = read(client, token).id
                client.update(token, {})
                client.list(subject="alice")
                client.find("0" * 32)
                client.revoke_id(handle, subject="alice")
                client.revoke("alice")
                assert len(list(client.events("oldest", follow=False))) == 3
                with pytest.raises(crudjt.InvalidParameter):
                    list(client.events("1-1-1-1-1", follow=False))
        finally:
            server.stop(0)
    records = [vars(record)["audit"] for record in audited.records if record.name == "crudjt.audit"]
    digest = hashlib.sha256(ACCESS_TOKEN.encode()).hexdigest()[:8]
    assert {record.pop("operator").partition(" from ")[0] for record in records} == {f"access token {digest}"}
    assert records == [
        {"action": "list sessions", "result": "done", "subject": "alice"},
        {"action": "look at session", "result": "missing", "handle": "0" * 32},
        {"action": "end session", "result": "done", "handle": handle, "subject": "alice"},
        {"action": "end sessions", "result": "done", "subject": "alice", "ended": 0},
        {"action": "follow events", "result": "begun"},
        {"action": "follow events", "result": "done"},
    ]
    assert not any(each in audited.text for each in (token, "secret", ACCESS_TOKEN))
