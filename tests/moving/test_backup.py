"""The sessions on servers are copied to a directory, which opens as a store."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import crudjt
from crudjt import opening
from crudjt._backends.embedded.doctor.check import examine
from crudjt._backends.moving import mover
from crudjt.testing import FakeClock
from tests.support.stores import read
from tests.support.valkey_stores import ServerPool, namespace
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.slow  # they start a cluster


@pytest.fixture
def store(servers: ServerPool, path: Path, secret_key: str, clock: FakeClock) -> Iterator[crudjt.Store]:
    url = servers.cluster("valkey").url(namespace(path))
    with crudjt.open(url, secret_key=secret_key, clock=clock, timeout=PATIENCE) as opened:
        yield opened


def test_a_backup_opens_as_a_store_with_the_same_key_and_tokens(
    store: crudjt.Store, tmp_path: Path, secret_key: str, clock: FakeClock
) -> None:
    tokens = store.create_many([{"n": number} for number in range(1200)])
    owned = store.create({"n": -1}, ttl=60, max_reads=3, subject="anna")
    store.backup(tmp_path / "copy")
    assert store.read(owned) is not None
    assert examine(tmp_path / "copy").healthy
    with crudjt.open(tmp_path / "copy", secret_key=secret_key, clock=clock) as copy:
        assert copy.stats().sessions == 1201
        assert [read(copy, token).data["n"] for token in tokens] == list(range(1200))
        assert read(copy, owned).reads_left == 2
        assert [session.data for session in copy.sessions("anna")] == [{"n": -1}]
        again = copy.create({"n": 0}, subject="anna")
        assert read(copy, again).id[16:20] == read(copy, owned).id[16:20]  # the same place
        assert copy.revoke("anna") == 2
    assert examine(tmp_path / "copy").healthy


def test_a_backup_of_an_empty_store_is_empty(store: crudjt.Store, tmp_path: Path, secret_key: str) -> None:
    store.backup(tmp_path / "copy")
    with crudjt.open(tmp_path / "copy", secret_key=secret_key) as copy:
        assert copy.stats().sessions == 0
        assert copy.read(copy.create({})) is not None


def test_a_backup_goes_to_a_new_or_an_empty_directory(store: crudjt.Store, tmp_path: Path) -> None:
    token = store.create({})
    (tmp_path / "copy").mkdir()
    store.backup(tmp_path / "copy")
    with pytest.raises(crudjt.StoreInaccessible, match="exists already"):
        store.backup(tmp_path / "copy")
    with pytest.raises(crudjt.StoreInaccessible, match="above it is missing"):
        store.backup(tmp_path / "none" / "copy")
    assert store.delete(token)


def test_a_backup_moves_on_to_another_namespace(
    store: crudjt.Store, servers: ServerPool, tmp_path: Path, secret_key: str, clock: FakeClock
) -> None:
    tokens = [store.create({"n": number}, subject="anna") for number in range(5)]
    store.backup(tmp_path / "copy")
    url = servers.cluster("valkey").url(namespace(tmp_path / "copy"))
    options: opening.OpenOptions = {"secret_key": secret_key, "clock": clock, "moving_to": url, "timeout": PATIENCE}
    source, destination = opening.parse(tmp_path / "copy", options).open_both()
    with closing(source.store), closing(destination.store):
        assert mover.move(source, destination).moved == 5
        destination.finish()
    with crudjt.open(url, secret_key=secret_key, clock=clock, timeout=PATIENCE) as other:
        assert [read(other, token).data["n"] for token in tokens] == list(range(5))
        assert other.revoke("anna") == 5
    assert read(store, tokens[0]).data == {"n": 0}
