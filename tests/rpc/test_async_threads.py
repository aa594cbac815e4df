"""Over gRPC, too, an event loop does not do itself what takes long: to make thousands of messages, and to read them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import crudjt.aio
from crudjt._backends.grpc import arguments, requests, responses
from crudjt.aio import AsyncStore
from tests.support.loops import Loop
from tests.support.remote_server import ServedStore

MANY = 150


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with closing(Loop()) as loop:
        yield loop


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Which threads make messages of data and of tokens, and read sessions: the loop's, or others."""
    seen: dict[str, set[str]] = {}

    def note(module: ModuleType, name: str) -> None:
        function: Callable[..., Any] = getattr(module, name)

        def noted(*arguments: Any) -> Any:
            where = "loop" if threading.current_thread().name == "loop" else "thread"
            seen.setdefault(name, set()).add(where)
            return function(*arguments)

        monkeypatch.setattr(module, name, noted)

    note(requests, "packed_data")
    note(arguments, "checked_token")
    note(responses, "to_session")
    return seen


@pytest.mark.parametrize(("items", "where"), [(2, "loop"), (MANY, "thread")])
def test_messages_of_many_sessions_are_made_and_read_in_threads(
    loop: Loop, path: Path, secret_key: str, threads: dict[str, set[str]], items: int, where: str
) -> None:
    async def use() -> None:
        store = crudjt.aio.wrap(ServedStore(path, secret_key=secret_key))
        tokens = await store.create_many(({"n": number} for number in range(items)), ttl=60)
        sessions = await store.read_many(tokens)
        assert [session and session.data for session in sessions] == [{"n": number} for number in range(items)]
        assert await store.delete_many(tokens) == items
        await store.close()

    loop.run(use())
    assert threads == {"packed_data": {where}, "checked_token": {where}, "to_session": {where}}


def test_a_list_of_sessions_is_read_in_threads_a_page_at_a_time(
    loop: Loop, path: Path, secret_key: str, threads: dict[str, set[str]]
) -> None:
    async def closed_after(number: int) -> None:
        store = crudjt.aio.wrap(ServedStore(path, secret_key=secret_key))
        sessions = store.sessions("x")
        for _ in range(number):
            await anext(sessions)
        await store.close()
        with pytest.raises(crudjt.StoreClosed):
            await anext(sessions)

    async def use(store: AsyncStore) -> None:
        await store.create_many([{}] * MANY, subject="x")
        threads.clear()
        assert len([session async for session in store.sessions("x")]) == MANY
        assert threads == {"to_session": {"thread"}}
        await store.close()
        for number in (1, 99, 100):
            await closed_after(number)

    loop.run(use(crudjt.aio.wrap(ServedStore(path, secret_key=secret_key))))


def test_what_one_call_may_not_hold_is_refused_as_ever(loop: Loop, path: Path, secret_key: str) -> None:
    async def use(store: AsyncStore) -> None:
        refused: list[Any] = [[{"a": object()}] * MANY, [{}] * 100_001, 5]
        for data in refused:
            with pytest.raises(crudjt.InvalidParameter, match="data"):
                await store.create_many(data)
        await store.close()

    loop.run(use(crudjt.aio.wrap(ServedStore(path, secret_key=secret_key))))
