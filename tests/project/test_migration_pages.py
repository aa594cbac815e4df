"""The migration guides, where they need more than the page alone: sessions of a real server are taken over."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

import crudjt
from tests.support.documents import blocks
from tests.support.project import ROOT
from tests.support.valkey_stores import ServerPool

OLD = "c0ffee00-65f8-4d6c-b0b3-6b1e0c9a4c55"
AT_ONCE = 8


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", [60_000, None])
def test_a_session_in_redis_is_taken_over_once_with_its_data_user_and_end(
    servers: ServerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, milliseconds: int | None
) -> None:
    (block,) = blocks((ROOT / "docs" / "migration" / "from-redis-sessions.md").read_text())
    monkeypatch.chdir(tmp_path)
    page: dict[str, Any] = {}
    exec(block, page)
    store: crudjt.Store = page["store"]
    with store, redis.Redis(port=servers.single("valkey").node.port) as old:
        old.set(f"session:{OLD}", json.dumps({"user_id": 7}), px=milliseconds)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            given = [*threads.map(lambda _: page["take_over"](old, OLD), range(AT_ONCE))]
        (token,) = filter(None, given)
        session = store.read(token)
        assert session is not None
        assert session.data == {"user_id": 7}
        assert session.subject == "7"
        assert (session.expires_in is None) == (milliseconds is None)
        assert session.expires_in is None or 50 < session.expires_in <= 60
        assert old.exists(f"session:{OLD}") == 0
