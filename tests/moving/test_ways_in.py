"""A store that is being moved is reached in every way in which a store is: awaited, served, and in a forked child."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import crudjt
import crudjt.aio
from crudjt import opening
from crudjt._backends.moving import mover
from tests.support.stores import read
from tests.support.valkey_stores import ServerPool, namespace
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.slow  # they start a server


@pytest.fixture
def options(servers: ServerPool, path: Path, secret_key: str) -> opening.OpenOptions:
    url = servers.single("valkey").url(namespace(path))
    return {"secret_key": secret_key, "moving_to": url, "replicas": 0, "timeout": PATIENCE}


@pytest.fixture
def moved(path: Path, options: opening.OpenOptions) -> Iterator[tuple[str, str]]:
    """Move one session, and another not; return their tokens."""
    with crudjt.open(path, **options) as store:
        first = store.create({"n": 1}, subject="anna")
        source, destination = opening.parse(path, options).open_both()
        mover.move(source, destination)
        second = store.create({"n": 2}, subject="anna")
        yield first, second
        source.store.close()
        destination.store.close()


def test_it_can_be_awaited(path: Path, options: opening.OpenOptions, moved: tuple[str, str]) -> None:
    async def ask() -> None:
        async with crudjt.aio.open(path, **options) as store:
            for number, token in enumerate(moved, 1):
                session = await store.read(token)
                assert session is not None
                assert session.data == {"n": number}
            assert [session.data["n"] async for session in store.sessions("anna")] == [1, 2]
            assert await store.update(moved[0], {"n": 3})
            assert await store.revoke("anna") == 2
            assert await store.read_many(moved) == [None, None]

    asyncio.run(ask())


def test_a_forked_child_goes_on(path: Path, options: opening.OpenOptions, moved: tuple[str, str]) -> None:
    with crudjt.open(path, **options) as store:
        assert read(store, moved[0]).data == {"n": 1}
        child = os.fork()
        if not child:
            code = 1
            try:
                code = int(not (store.delete(moved[0]) and read(store, store.create({})).data == {}))
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert store.read(moved[0]) is None
        assert read(store, moved[1]).data == {"n": 2}


def test_an_adapter_and_the_settings_of_a_framework_take_it(
    path: Path, options: opening.OpenOptions, moved: tuple[str, str]
) -> None:
    parsed = opening.parse(path, options)
    with parsed.open() as store:
        assert isinstance(store, crudjt.Store)
        assert store.location == str(path)
        assert store.durable is False
        assert store.max_data_bytes == 65_536
        assert "MovingStore" in repr(store)
        assert store.sweep() == 0
        store.sync()
        assert store.stats().sessions == 2
        with pytest.raises(crudjt.StoreMoved):
            store.backup(path.parent / "copy")
    with pytest.raises(crudjt.StoreClosed):
        store.read(moved[0])
