"""A typed store takes and returns instances of a model, and keeps what the store itself keeps."""

import asyncio
import enum
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest

import crudjt
import crudjt.aio
from tests.support.stores import OpenStore

SECRET = "a value that no message may show"


class Role(enum.Enum):
    ADMIN = "admin"
    GUEST = "guest"


class Struct(msgspec.Struct):
    user: int
    role: Role = Role.GUEST
    tags: set[str] = msgspec.field(default_factory=set)
    since: datetime | None = None


@dataclass
class Item:
    id: UUID
    price: Decimal


@dataclass
class Data:
    user: int
    cart: list[Item] = field(default_factory=list)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)


class Typed(TypedDict):
    user: int
    raw: bytes


class Pydantic(pydantic.BaseModel):
    user: int
    role: Role = Role.GUEST
    tags: frozenset[str] = frozenset()
    named: str = pydantic.Field(default="", alias="given-name")


INSTANCES = [
    Struct(1, Role.ADMIN, {"a", "b"}, datetime(2026, 1, 1, tzinfo=timezone.utc)),
    Data(1, [Item(UUID(int=7), Decimal("1.10"))], {3: (4, 5)}),
    Typed(user=1, raw=b"\0"),
    Pydantic.model_validate({"user": 1, "role": "admin", "tags": {"x"}, "given-name": "Ann"}),
]


def model_of(instance: Any) -> type[Any]:
    return Typed if isinstance(instance, dict) else type(instance)


@pytest.mark.table
@pytest.mark.parametrize("instance", INSTANCES, ids=lambda each: type(each).__name__)
def test_an_instance_comes_back_equal(store: crudjt.Store, instance: Any) -> None:
    typed = store.typed(model_of(instance))
    token = typed.create(instance)
    session = typed.read(token)
    assert session is not None
    assert session.data == instance
    assert type(session.data) is type(instance)


def test_every_method_speaks_in_instances(store: crudjt.Store) -> None:
    typed = store.typed(Struct)
    token = typed.create(Struct(1), ttl=60, subject="alice")
    assert typed.update(token, Struct(2, Role.ADMIN))
    peeked = typed.peek(token)
    assert peeked is not None
    assert peeked.data == Struct(2, Role.ADMIN)
    assert peeked.version == 2
    assert peeked.subject == "alice"
    rotated = typed.rotate(token, data=Struct(3))
    assert rotated is not None
    assert [session.data for session in typed.sessions("alice")] == [Struct(3)]
    more = typed.create_many([Struct(4), Struct(5)])
    assert [each and each.data for each in typed.read_many([*more, token])] == [Struct(4), Struct(5), None]
    assert typed.delete(rotated)
    assert typed.read(rotated) is None


def test_a_plain_store_reads_what_a_typed_one_has_written(store: crudjt.Store) -> None:
    token = store.typed(Struct).create(Struct(1, Role.ADMIN))
    session = store.read(token)
    assert session is not None
    assert session.data == {"user": 1, "role": "admin", "tags": [], "since": None}


@pytest.mark.table
@pytest.mark.parametrize("model", [Struct, Data, Typed, Pydantic])
def test_data_of_another_shape_raises_without_showing_it(store: crudjt.Store, model: type[Any]) -> None:
    token = store.create({"user": SECRET, "role": SECRET, SECRET: 1})
    with pytest.raises(crudjt.DataMismatch, match="user") as caught:
        store.typed(model).read(token)
    assert SECRET not in str(caught.value)
    assert caught.value.model == model.__name__
    session = store.read(token)
    assert session is not None
    assert caught.value.session == session.id


@pytest.mark.parametrize("model", [Struct, Pydantic])
def test_a_value_that_is_not_allowed_is_not_shown(store: crudjt.Store, model: type[Any]) -> None:
    token = store.create({"user": 1, "role": SECRET})
    with pytest.raises(crudjt.DataMismatch, match="role") as caught:
        store.typed(model).read(token)
    assert SECRET not in str(caught.value)


def test_migrate_brings_older_data_up_to_date(store: crudjt.Store) -> None:
    old, new, hopeless = store.create({"uid": 1}), store.create({"user": 2}), store.create({})
    typed = store.typed(Struct, migrate=lambda data: {"user": data.get("uid")})
    assert [each and each.data for each in typed.read_many([old, new])] == [Struct(1), Struct(2)]
    with pytest.raises(crudjt.DataMismatch, match="after migrate"):
        typed.read(hopeless)
    instance = store.typed(Struct, migrate=lambda data: Struct(data["uid"])).read(old)
    assert instance is not None
    assert instance.data == Struct(1)


@pytest.mark.table
@pytest.mark.parametrize(
    ("model", "instance"),
    [
        (Struct, Struct("1")),  # type: ignore[arg-type] # wrong on purpose
        (Data, Data(1, None)),  # type: ignore[arg-type] # the same
        (Typed, {"user": 1}),
        (Pydantic, Pydantic.model_construct(user=SECRET)),
    ],
)
def test_an_instance_that_would_not_be_read_again_is_refused(
    store: crudjt.Store, model: type[Any], instance: Any
) -> None:
    typed = store.typed(model)
    with pytest.raises(crudjt.InvalidType, match=f"does not fit the model {model.__name__}") as caught:
        typed.create(instance)
    assert SECRET not in str(caught.value)
    with pytest.raises(crudjt.InvalidType, match="must be of the model"):
        typed.create([1])


class OfObjects(msgspec.Struct):
    thing: object
    worse: "complex"


class Listed(msgspec.Struct, array_like=True):
    user: int


@pytest.mark.table
@pytest.mark.parametrize("model", [int, dict, Listed, "Struct", None, list[int]])
def test_what_is_no_model_is_refused(store: crudjt.Store, model: Any) -> None:
    with pytest.raises(crudjt.InvalidType, match="model must be a msgspec Struct"):
        store.typed(model)


@pytest.mark.table
def test_a_value_that_cannot_be_stored_is_named_by_its_type(store: crudjt.Store) -> None:
    with pytest.raises(crudjt.InvalidType, match="complex"):
        store.typed(OfObjects).create(OfObjects(1, 1j))


def test_an_awaited_store_does_the_same(store: crudjt.Store) -> None:
    async def use() -> None:
        async with crudjt.aio.wrap(store) as awaited:
            await use_typed(awaited.typed(Struct, migrate=lambda data: {"user": data["uid"]}))

    async def use_typed(typed: crudjt.AsyncTypedStore[Struct]) -> None:
        token = await typed.create(Struct(1), subject="bob")
        assert await typed.update(token, Struct(2))
        rotated = await typed.rotate(token, data=Struct(3))
        assert rotated is not None
        more = await typed.create_many([Struct(4)])
        read = await typed.read_many([rotated, *more])
        assert [each and each.data for each in read] == [Struct(3), Struct(4)]
        assert [each.data async for each in typed.sessions("bob")] == [Struct(3)]
        older = await typed.store.create({"uid": 5})
        for session in (await typed.read(older), await typed.peek(older)):
            assert session is not None
            assert session.data == Struct(5)
        assert await typed.delete(rotated)

    asyncio.run(use())


def test_a_typed_store_says_which_store_it_is_of(open_store: OpenStore) -> None:
    store = open_store()
    assert store.typed(Struct).store is store
