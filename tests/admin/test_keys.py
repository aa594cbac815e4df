"""The page of the secret keys: how many live sessions each has, and when an old one can be dropped."""

from pathlib import Path

from starlette.testclient import TestClient

import crudjt
import crudjt.aio
from crudjt import admin
from tests.admin.page import Page, signed_in


def test_the_sessions_of_each_key_are_counted_and_the_old_one_can_be_dropped_at_last(path: Path) -> None:
    old, new = crudjt.generate_secret_key(), crudjt.generate_secret_key()
    with crudjt.open(path, secret_key=old) as store:
        token = store.create({}, ttl=60)
    with crudjt.open(path, secret_key=[old, new]) as store:
        for client in signed_in(Page(store)):
            assert 'href="/keys"' in client.get("/").text
            assert "some seconds" in client.get("/keys").text
            first = client.post("/keys").text
            assert "can be dropped at 2" in first
            assert "makes the new sessions" in first
            store.delete(token)
            assert "can be dropped now" in client.post("/keys").text


def test_a_store_whose_keys_are_elsewhere_has_no_such_page(store: crudjt.Store) -> None:
    mounted = admin.app(crudjt.aio.wrap(store), authorize=lambda _request: "alice")
    with TestClient(mounted) as client:
        assert "/keys" not in client.get("/").text
        assert client.get("/keys").status_code == 404
