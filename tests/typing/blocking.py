"""Types of `crudjt`, as an application with blocking calls sees them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

import crudjt
from crudjt.testing import FakeClock, temporary_store

if TYPE_CHECKING:
    from typing_extensions import assert_type


def opens(key: str) -> None:
    assert_type(crudjt.open("sessions", secret_key=key), crudjt.Store)
    assert_type(crudjt.open(Path("sessions"), secret_key=[key, key], durability="full"), crudjt.Store)
    crudjt.open("sessions", sync_intervall=1.0)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    crudjt.open("sessions", durability="never")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    crudjt.open(42)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    crudjt.open("sessions", key)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def creates(store: crudjt.Store) -> None:
    assert_type(store.create({"user_id": 42}), str)
    assert_type(store.create({"user_id": 42}, 3600, 3, idle=1800.5, subject="alice"), str)
    store.create({"user_id": 42}, ttl=timedelta(hours=1), idle=timedelta(minutes=30))
    store.create({"user_id": 42}, tll=3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    store.create([1, 2])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    store.create({}, ttl="3600")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    store.create({}, 60, 1, 30)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    assert_type(store.create_many([{"n": 1}, {"n": 2}], ttl=60), list[str])


def reads(store: crudjt.Store, token: str) -> None:
    session = store.read(token)
    assert_type(session, crudjt.Session | None)
    session.data  # type: ignore[union-attr] # pyright: ignore[reportOptionalMemberAccess]
    if session is not None:
        assert_type(session.data, dict[Any, Any])
        assert_type(session.id, str)
        assert_type(session.subject, str | None)
        assert_type(session.version, int)
        assert_type(session.created_at, datetime)
        assert_type(session.expires_at, datetime | None)
        assert_type(session.reads_left, int | None)
    assert_type(store.peek(token), crudjt.Session | None)
    assert_type(store.read_many([token]), list[crudjt.Session | None])
    assert_type(store.sessions("alice"), Iterator[crudjt.Session])
    assert_type(store.list(limit=10), crudjt.Page)
    assert_type([session.last_seen for session in store.list()], list[datetime | None])
    assert_type(store.find("0" * 32), crudjt.Session | None)
    assert_type(store.count("alice"), int)
    store.read(b"token")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def changes(store: crudjt.Store, token: str, ttl: "float | timedelta | crudjt.KeepType | None" = crudjt.KEEP) -> None:
    assert_type(store.update(token, {"user_id": 42}, ttl, if_version=1), bool)
    assert_type(store.touch(token, ttl, idle=None), bool)
    assert_type(store.rotate(token), str | None)
    assert_type(store.rotate(token, data={"role": 1}, subject="alice", ttl=60, idle=crudjt.KEEP), str | None)
    assert_type(store.delete(token), bool)
    assert_type(store.delete_many([token]), int)
    assert_type(store.revoke("alice", keep=token), int)
    assert_type(store.revoke_id("0" * 32), bool)
    assert_type(store.revoke_id("0" * 32, subject="alice"), bool)
    store.update(token, {}, crudjt.Session)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    store.update(token, {}, if_verison=1)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


class User(msgspec.Struct):
    id: int


class Cart(TypedDict):
    items: list[str]


def is_typed(store: crudjt.Store, token: str) -> None:
    users = store.typed(User, migrate=lambda data: {"id": data["user_id"]})
    assert_type(users, crudjt.TypedStore[User])
    assert_type(users.create(User(1), ttl=60), str)
    session = users.read(token)
    assert_type(session, crudjt.Session[User] | None)
    assert_type(users.sessions("alice"), Iterator[crudjt.Session[User]])
    assert_type(store.typed(Cart).read_many([token]), list[crudjt.Session[Cart] | None])
    users.create({"id": 1})  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    users.update(token, Cart(items=[]))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def manages(store: crudjt.Store) -> None:
    assert_type(store.stats(), crudjt.Stats)
    assert_type(store.sweep(), int)
    with store as opened:
        assert_type(opened, crudjt.Store)


def tests_an_application() -> None:
    clock = FakeClock()
    with temporary_store(clock=clock, max_data_bytes=100) as store:
        assert_type(store, crudjt.Store)
    temporary_store(clok=clock)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


class Incomplete(crudjt.Store):
    """A backend that implements nothing."""


def misuses_names(store: crudjt.Store) -> None:
    Incomplete()  # type: ignore[abstract] # pyright: ignore[reportAbstractUsage]
    crudjt.Options  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    store._engine  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
