"""Types of `crudjt.aio`, as an application with `await` sees them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import crudjt
import crudjt.aio
from crudjt import AsyncStore

if TYPE_CHECKING:
    from typing_extensions import assert_type


@dataclass
class User:
    id: int


def opens(store: crudjt.Store) -> None:
    assert_type(crudjt.aio.open("sessions", writes="inline", sync_interval=1.0), AsyncStore)
    assert_type(crudjt.aio.wrap(store), AsyncStore)
    crudjt.aio.open("sessions", sync_intervall=1.0)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    crudjt.aio.open("sessions", sync_interval="1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    crudjt.aio.open("sessions", writes="never")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def uses(store: AsyncStore, token: str) -> None:
    assert_type(await store.create({"user_id": 42}, ttl=3600), str)
    assert_type(await store.read(token), crudjt.Session | None)
    assert_type(await store.update(token, {"user_id": 42}), bool)
    assert_type(await store.rotate(token), str | None)
    assert_type(store.sessions("alice"), AsyncIterator[crudjt.Session])
    async for session in store.sessions("alice"):
        assert_type(session, crudjt.Session)
    await store.create({"user_id": 42}, tll=3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    (await store.read(token)).data  # type: ignore[union-attr] # pyright: ignore[reportOptionalMemberAccess]
    with store:  # type: ignore[attr-defined] # pyright: ignore[reportGeneralTypeIssues]
        pass


async def is_typed(store: AsyncStore, token: str) -> None:
    users = store.typed(User)
    assert_type(users, crudjt.AsyncTypedStore[User])
    assert_type(await users.read(token), crudjt.Session[User] | None)
    async for session in users.sessions("alice"):
        assert_type(session.data, User)
    await users.create({"id": 1})  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
