"""A store that no code refers to any more is closed, though `close` was not called."""

import gc
import shutil
import time
from pathlib import Path

import pytest

import crudjt
import crudjt.aio
from tests.support.loops import Loop
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


def descriptors(path: Path) -> int:
    """Return how many descriptors of this process are files of a store."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            count += str(link.readlink()).startswith(str(path))
        except FileNotFoundError:  # that of the listing
            continue
    return count


def wait_until_closed(path: Path) -> None:
    def is_closed() -> bool:
        gc.collect()  # the control block is unmapped when the engine is collected
        return not descriptors(path)

    assert eventually(is_closed)


def test_its_background_threads_close_it(path: Path, secret_key: str) -> None:
    store = crudjt.open(path, secret_key=secret_key, sync_interval=0.01)
    token = store.create({"n": 1})
    assert descriptors(path) > 0
    del store
    gc.collect()
    wait_until_closed(path)
    with crudjt.open(path, secret_key=secret_key) as store:
        assert store.peek(token) is not None


def test_the_next_store_that_is_opened_closes_it(tmp_path: Path, secret_key: str) -> None:
    for number in range(5):
        store = crudjt.open(tmp_path / f"store {number}", secret_key=secret_key, sync_interval=3600)
        del store
        gc.collect()
    with crudjt.open(tmp_path / "last", secret_key=secret_key):
        wait_until_closed(tmp_path / "store")


def test_one_that_cannot_be_closed_keeps_no_files_of_others(
    tmp_path: Path, secret_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("removed", "kept")
    stores = [crudjt.open(tmp_path / name, secret_key=secret_key, sync_interval=3600) for name in names]
    for store in stores:
        store.create({})
    del store, stores
    shutil.rmtree(tmp_path / "removed")
    gc.collect()
    with crudjt.open(tmp_path / "last", secret_key=secret_key):
        for name in names:  # a thread of another store may be doing it
            wait_until_closed(tmp_path / name)
        removed = str(tmp_path / "removed")
        assert eventually(lambda: any(removed in record.getMessage() for record in caplog.records))


def test_other_stores_on_its_directory_go_on(path: Path, secret_key: str) -> None:
    with crudjt.open(path, secret_key=secret_key, sync_interval=0.01) as store:
        dropped = crudjt.open(path, secret_key=secret_key)
        token = dropped.create({"n": 1})
        del dropped
        gc.collect()
        time.sleep(0.1)
        assert store.peek(token) is not None
        assert store.update(token, {"n": 2})


def test_an_iterator_keeps_its_store_open(path: Path, secret_key: str) -> None:
    store = crudjt.open(path, secret_key=secret_key, sync_interval=0.01)
    store.create_many([{}] * 3, subject="ada")
    found = store.sessions("ada")
    del store
    gc.collect()
    time.sleep(0.1)
    assert len(list(found)) == 3


@pytest.mark.parametrize("writes", ["thread", "inline"])
def test_an_asynchronous_store_is_closed_too(path: Path, secret_key: str, writes: crudjt.aio.Writes) -> None:
    loop = Loop()
    store = crudjt.aio.open(path, writes=writes, secret_key=secret_key, sync_interval=0.01)
    loop.run(store.create({}))
    del store
    loop.close()
    gc.collect()
    wait_until_closed(path)
