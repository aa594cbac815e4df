"""Files of a running store that are replaced or removed: every process notices, and says so."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crudjt
from crudjt._backends.embedded.engine import compaction, recovery
from crudjt._core.options import Durability
from tests.support.disks import segments
from tests.support.embedded import compact
from tests.support.processes import Fork, StoreProcess, eventually

INTERVAL = 0.05


def remove_all(path: Path) -> None:
    shutil.rmtree(path)


def restore_a_backup(path: Path) -> None:
    path.rename(path.with_name("old"))
    path.with_name("backup").rename(path)


def replace_the_segment(path: Path) -> None:
    segment = segments(path)[-1]
    copy = segment.with_name("copy")
    shutil.copyfile(segment, copy)
    copy.rename(segment)


def remove(name: str) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        found = path / name
        shutil.rmtree(found) if found.is_dir() else found.unlink()

    return do


DEEDS = {
    "all removed": remove_all,
    "a backup restored": restore_a_backup,
    "segment replaced": replace_the_segment,
    **{f"{name} removed": remove(name) for name in ("lock", "control", "log", "view", "view/data.mdb")},
}


@pytest.fixture(params=[*DEEDS.values()], ids=[*DEEDS])
def replace(request: pytest.FixtureRequest, path: Path, secret_key: str) -> Callable[[], None]:
    """Return what replaces files of the store, in a directory that has a backup beside it."""
    with crudjt.open(path, secret_key=secret_key) as store:
        store.create({"n": 1}, subject="alice")
        store.backup(path.with_name("backup"))
    return lambda: request.param(path)


def failure(call: Callable[[], object]) -> str:
    try:
        call()
    except crudjt.StoreFailed as error:
        return error.reason
    return ""


@pytest.mark.parametrize("durability", ["interval", "full"])
def test_every_process_fails_within_an_interval(
    path: Path, secret_key: str, replace: Callable[[], None], durability: Durability
) -> None:
    store = crudjt.open(path, secret_key=secret_key, sync_interval=INTERVAL, durability=durability)
    token = store.create({})
    assert store.read(token)
    replace()
    assert eventually(lambda: "replaced or removed" in failure(lambda: store.create({})))
    assert eventually(lambda: "replaced or removed" in failure(lambda: store.read(token)))
    assert "replaced or removed" in failure(lambda: store.revoke("alice"))
    assert "replaced or removed" in failure(store.sync)
    assert "replaced or removed" in failure(store.close)


def test_one_process_that_notices_stops_the_others(path: Path, secret_key: str, replace: Callable[[], None]) -> None:
    store = crudjt.open(path, secret_key=secret_key, sync_interval=INTERVAL)
    with StoreProcess(path, secret_key, sync_interval=3600) as other:
        other.call("create", {})
        replace()
        assert eventually(lambda: "replaced or removed" in failure(lambda: store.create({})))
        with pytest.raises(AssertionError, match="replaced or removed"):
            other.call("create", {})
    failure(store.close)


@pytest.mark.parametrize("method", ["sync", "close"])
def test_sync_and_close_notice_at_once(path: Path, secret_key: str, replace: Callable[[], None], method: str) -> None:
    store = crudjt.open(path, secret_key=secret_key, sync_interval=3600)
    store.create({})
    replace()
    assert "replaced or removed" in failure(getattr(store, method))
    failure(store.close)


def test_upkeep_and_forks_of_a_store_in_its_place_are_no_replacement(path: Path, secret_key: str) -> None:
    with (
        crudjt.open(path, secret_key=secret_key, sync_interval=0.002) as store,
        StoreProcess(path, secret_key, sync_interval=0.002) as other,
    ):
        for _ in range(30):
            store.create({})
            assert compact(store)
            other.call("create", {})
            other.call("sync")
            store.sync()
        assert Fork(lambda: store.sync() or store.create({})).wait().result


def test_a_new_store_in_the_place_of_the_old_one_opens(path: Path, secret_key: str) -> None:
    store = crudjt.open(path, secret_key=secret_key, sync_interval=3600)
    token = store.create({})
    store.backup(path.with_name("backup"))
    restore_a_backup(path)
    with crudjt.open(path, secret_key=secret_key) as restored:
        assert restored.read(token) is not None
        assert failure(store.sync)
        restored.sync()
    failure(store.close)
    assert os.path.lexists(path / "lock")


def test_a_compaction_leaves_a_backup_alone_that_is_restored_beneath_it(
    path: Path, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_and_restore(*arguments: Any) -> Any:
        base = recovery.write_base(*arguments)
        restore_a_backup(path)
        return base

    store = crudjt.open(path, secret_key=secret_key)
    token = store.create({"n": 1})
    store.backup(path.with_name("backup"))
    monkeypatch.setattr(compaction, "write_base", write_and_restore)
    with pytest.raises(crudjt.StoreFailed):
        compact(store)
    with pytest.raises(crudjt.StoreFailed):
        store.close()
    with crudjt.open(path, secret_key=secret_key) as restored:
        assert restored.peek(token) is not None


def test_a_copy_of_a_closed_store_opens_in_the_same_boot(path: Path, tmp_path: Path, secret_key: str) -> None:
    # Small, since copying fills the holes of the view's file.
    with crudjt.open(path, secret_key=secret_key, max_size=1024**2) as store:
        token = store.create({"n": 1}, subject="anna")
    copy = Path(shutil.copytree(path, tmp_path / "copy"))
    for _ in range(2):
        with crudjt.open(copy, secret_key=secret_key) as store:
            assert store.update(token, {"n": 2})
            store.sync()
            assert [session.data for session in store.sessions("anna")] == [{"n": 2}]
    with crudjt.open(path, secret_key=secret_key) as store:
        session = store.read(token)
        assert session is not None
        assert session.data == {"n": 1}
