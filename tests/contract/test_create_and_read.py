"""Creating sessions and reading them: tokens, data, and what a session says of itself."""

import math
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crudjt
from crudjt.testing import FakeClock
from tests.support.stores import TOKEN, OpenStore, read

INTEGERS = st.integers(-(2**63), 2**64 - 1)
SCALARS = (
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | st.text(max_size=20) | st.binary(max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCALARS, inner, max_size=4),
    max_leaves=12,
)


@dataclass(frozen=True)
class Hashable:
    """Can be a key of a dict, but packs to a map, which cannot."""

    value: int = 1


def test_a_token_is_22_url_safe_characters(store: crudjt.Store) -> None:
    for _ in range(100):
        assert TOKEN.fullmatch(store.create({}))


def test_tokens_never_repeat_even_for_equal_data_in_one_millisecond(store: crudjt.Store) -> None:
    assert len({store.create({"user_id": 42}) for _ in range(1000)}) == 1000


def test_tokens_made_in_a_row_share_no_prefix(store: crudjt.Store) -> None:
    """An id begins with the time; a token must not show it."""
    assert len({store.create({})[:4] for _ in range(50)}) > 40


def test_a_session_reads_back_as_it_was_created(store: crudjt.Store, clock: FakeClock) -> None:
    before = datetime.fromtimestamp(clock() // 10**9, timezone.utc)
    session = read(store, store.create({"user_id": 42, "role": "admin"}, subject="user 42"))
    assert session.data == {"user_id": 42, "role": "admin"}
    assert session.subject == "user 42"
    assert session.version == 1
    assert session.created_at == before
    assert session.created_at.tzinfo is timezone.utc
    assert session.expires_at is None
    assert session.expires_in is None
    assert session.reads_left is None
    assert re.fullmatch(r"[0-9a-f]{32}", session.id)


def test_a_session_with_a_ttl_says_when_it_ends(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({}, ttl=90.5)
    clock.advance(30)
    session = read(store, token)
    assert session.expires_at == session.created_at + timedelta(seconds=90.5)
    assert session.expires_in == pytest.approx(60.5)


def test_peek_tells_the_same_as_read(store: crudjt.Store) -> None:
    token = store.create({"a": 1}, ttl=60, idle=30, subject="x")
    peeked, session = store.peek(token), read(store, token)
    assert peeked is not None
    for name in ("data", "id", "subject", "version", "created_at", "expires_at", "expires_in", "reads_left"):
        assert getattr(peeked, name) == getattr(session, name)


def test_unknown_tokens_are_none_and_false(store: crudjt.Store) -> None:
    token = store.create({})
    assert store.delete(token)
    assert store.read(token) is None
    assert store.peek(token) is None
    assert store.update(token, {}) is False
    assert store.touch(token) is False
    assert store.rotate(token) is None
    assert store.delete(token) is False


@pytest.mark.table
@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 2**31, -(2**63), 2**63, 2**64 - 1, 0.0, 1.5, math.inf, -math.inf, "", "text",
        "ünï 🐍", "\x00", b"", b"\x00\xff", [], [1, [2, [3]]], {}, {"a": {"b": {"c": None}}},
        {1: "int", -5: "negative"},
        {None: 1, True: 2, b"bytes": 3, 2.5: 4}, {(1, (2, "x")): "list as key"},
        {datetime(2024, 2, 29, tzinfo=timezone.utc): "point in time as key"},
        datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=timezone.utc),
        datetime(1, 1, 1, tzinfo=timezone.utc), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc),
    ],
)  # fmt: skip
def test_every_messagepack_type_reads_back_equal(store: crudjt.Store, value: Any) -> None:
    """Twice: from the store and from the cache."""
    token = store.create({"value": value})
    for _ in range(2):
        found = read(store, token).data["value"]
        assert found == value
        assert type(found) is type(value)


def test_not_a_number_reads_back_as_not_a_number(store: crudjt.Store) -> None:
    assert math.isnan(read(store, store.create({"value": math.nan})).data["value"])


def test_minus_zero_keeps_its_sign(store: crudjt.Store) -> None:
    assert math.copysign(1, read(store, store.create({"value": -0.0})).data["value"]) == -1


def test_a_subclass_of_dict_reads_back_as_a_dict(store: crudjt.Store) -> None:
    assert type(read(store, store.create(OrderedDict(a=1))).data) is dict


def test_the_order_of_keys_is_kept(store: crudjt.Store) -> None:
    assert list(read(store, store.create({"z": 1, "a": 2, "m": 3})).data) == ["z", "a", "m"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(SCALARS, VALUES, max_size=4))
def test_what_create_accepts_read_gives_back(store: crudjt.Store, data: dict[Any, Any]) -> None:
    token = store.create(data)
    assert read(store, token).data == data
    assert read(store, token).data == data


@pytest.mark.table
@pytest.mark.parametrize(
    "data",
    [
        None, [], [("a", 1)], "text", b"bytes", 5, {1, 2}, object(),
        {"a": object()}, {"a": 2**64}, {"a": -(2**63) - 1}, {"a": "\ud800"}, {"a": lambda: 0}, {"a": 1j},
        {"a": range(3)},
    ],
)  # fmt: skip
def test_what_is_no_messagepack_map_is_refused_by_name(store: crudjt.Store, data: Any) -> None:
    token = store.create({"a": 1})
    for call in (lambda: store.create(data), lambda: store.update(token, data), lambda: store.create_many([data])):
        with pytest.raises(crudjt.InvalidParameter) as caught:
            call()
        assert caught.value.parameter == "data"
        assert not isinstance(caught.value, crudjt.DataTooLarge)
    assert read(store, token).data == {"a": 1}


@pytest.mark.table
@pytest.mark.parametrize(
    "data",
    [
        {Hashable(): 1},
        {(1, (Hashable(),)): 1},
        {"a": msgspec.msgpack.Ext(-1, b"no timestamp")},
        {"a": msgspec.msgpack.Ext(9, bytes(16))},
        {"a": msgspec.Raw(b"\xc1")},
        {"a": msgspec.Raw(b"")},
    ],
    ids=["map as key", "map inside a key", "malformed timestamp", "extension type", "malformed bytes", "missing bytes"],
)
def test_data_that_could_not_be_read_back_is_refused(store: crudjt.Store, data: dict[Any, Any]) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        store.create(data)
    assert caught.value.parameter == "data"


def test_data_that_is_nested_without_end_is_refused(store: crudjt.Store) -> None:
    data: dict[str, Any] = {}
    data["itself"] = data
    with pytest.raises(crudjt.InvalidParameter) as caught:
        store.create(data)
    assert caught.value.parameter == "data"


DEEPEST = 256
NESTED: dict[str, Callable[[Any], Any]] = {
    "maps": lambda inside: {"": inside},
    "maps of much else": lambda inside: {"a": {}, "b": inside, "c": [1]},
    "lists": lambda inside: [inside],
    "lists of much else": lambda inside: [[], inside, "a"],
}


def nested(kind: str, depth: int) -> dict[str, Any]:
    """Return data of so many levels, the data itself being one."""
    inside: Any = {} if kind.startswith("maps") else []
    for _ in range(depth - 2):
        inside = NESTED[kind](inside)
    return {"top": inside}


@pytest.mark.table
@pytest.mark.parametrize("kind", NESTED)
def test_data_may_be_nested_256_deep_on_every_python(store: crudjt.Store, kind: str) -> None:
    data = nested(kind, DEEPEST)
    token = store.create(data)
    assert msgspec.msgpack.encode(read(store, token).data) == msgspec.msgpack.encode(data)
    assert store.update(token, data)


@pytest.mark.table
@pytest.mark.parametrize("kind", NESTED)
@pytest.mark.parametrize("depth", [DEEPEST + 1, 300])
def test_data_that_is_nested_deeper_is_refused_in_words(store: crudjt.Store, kind: str, depth: int) -> None:
    """Also where this Python could write it: another one might not be able to read it."""
    token = store.create({})
    for call in (
        lambda: store.create(nested(kind, depth)),
        lambda: store.update(token, nested(kind, depth)),
        lambda: store.create_many([{}, nested(kind, depth)]),
    ):
        with pytest.raises(
            crudjt.InvalidParameter,
            match="nested too deeply; at most 256 levels of dicts and lists are allowed, and 64 of",
        ):
            call()


def test_a_map_with_deeply_nested_keys_is_refused(store: crudjt.Store) -> None:
    key: tuple[Any, ...] = ()
    for _ in range(DEEPEST):
        key = (key,)
    with pytest.raises(crudjt.InvalidParameter, match="nested"):
        store.create({key: 1})


def test_data_with_thousands_of_maps_beside_each_other_is_not_deep(store: crudjt.Store) -> None:
    data = {"cart": [{"n": number, "tags": []} for number in range(300)]}
    assert read(store, store.create(data)).data == data


# Sizes


def padded(size: int) -> dict[str, bytes]:
    """Return data of exactly `size` bytes packed, from 262 on."""
    for overhead in (6, 8):  # bytes are preceded by a length of two bytes, or of four
        data = {"a": bytes(size - overhead)}
        if len(msgspec.msgpack.encode(data)) == size:
            return data
    raise AssertionError(size)


def test_empty_data_reads_back_empty(store: crudjt.Store) -> None:
    assert read(store, store.create({})).data == {}


def test_data_of_exactly_the_limit_is_kept(store: crudjt.Store) -> None:
    token = store.create(padded(65_536))
    assert read(store, token).data == padded(65_536)
    assert store.update(token, padded(65_536))


def test_data_of_one_byte_above_the_limit_is_refused(store: crudjt.Store) -> None:
    token = store.create({"kept": True})
    for call in (
        lambda: store.create(padded(65_537)),
        lambda: store.update(token, padded(65_537)),
        lambda: store.create_many([{}, padded(65_537)]),
    ):
        with pytest.raises(crudjt.DataTooLarge) as caught:
            call()
        assert (caught.value.size, caught.value.limit, caught.value.parameter) == (65_537, 65_536, "data")
    assert read(store, token).data == {"kept": True}
    assert store.stats().sessions == 1


@pytest.mark.parametrize("limit", [300, 4096, 1_000_000])
def test_the_limit_of_data_is_an_option(open_store: OpenStore, limit: int) -> None:
    store = open_store(max_data_bytes=limit)
    assert read(store, store.create(padded(limit), subject="x" * 1024)).data == padded(limit)
    with pytest.raises(crudjt.DataTooLarge):
        store.create(padded(limit + 1))


def test_data_above_a_lowered_limit_can_still_be_read(open_store: OpenStore) -> None:
    token = open_store().create(padded(65_536))
    assert read(open_store(max_data_bytes=10), token).data == padded(65_536)


# The caller's own copy


def test_the_data_of_each_read_is_the_callers_own(store: crudjt.Store) -> None:
    """A second and a third read come from the cache, which must not hand its content out either."""
    token = store.create({"list": [1], "map": {"a": 1}})
    for look in (store.read, store.read, store.read, store.peek):
        session = look(token)
        assert session is not None
        assert session.data == {"list": [1], "map": {"a": 1}}
        session.data["list"].append(2)
        session.data["map"].clear()
        session.data["more"] = True


def test_changing_the_data_that_was_given_changes_nothing_stored(store: crudjt.Store) -> None:
    data = {"list": [1]}
    token = store.create(data)
    data["list"].append(2)
    assert read(store, token).data == {"list": [1]}
    assert store.update(token, data)
    data["list"].append(3)
    assert read(store, token).data == {"list": [1, 2]}


@pytest.mark.table
@pytest.mark.parametrize(
    "name",
    ["data", "id", "subject", "version", "created_at", "expires_at", "expires_in", "reads_left", "unheard_of"],
)
def test_a_session_is_immutable(store: crudjt.Store, name: str) -> None:
    session = read(store, store.create({}))
    with pytest.raises(AttributeError):
        setattr(session, name, None)
    if name != "unheard_of":
        with pytest.raises(AttributeError):
            delattr(session, name)


def test_a_session_stays_what_it_was_when_the_store_moves_on(store: crudjt.Store, clock: FakeClock) -> None:
    token = store.create({"a": 1}, ttl=60)
    session = read(store, token)
    clock.advance(10)
    store.update(token, {"a": 2}, ttl=600)
    store.delete(token)
    assert (session.data, session.version, session.expires_in) == ({"a": 1}, 1, 60)


def test_two_stores_on_one_directory_see_each_others_changes_at_once(open_store: OpenStore) -> None:
    one, other = open_store(), open_store()
    token = one.create({"n": 0})
    for number in range(1, 20):
        writer, reader = (one, other) if number % 2 else (other, one)
        assert read(reader, token).data == {"n": number - 1}
        assert writer.update(token, {"n": number})
        assert read(reader, token).data == {"n": number}
    assert other.delete(token)
    assert one.read(token) is None


def test_sessions_outlive_the_store_object(open_store: OpenStore) -> None:
    with open_store() as first:
        token = first.create({"a": 1}, ttl=60, max_reads=3, subject="x")
        read(first, token)
    session = read(open_store(), token)
    assert (session.data, session.reads_left, session.subject, session.expires_in) == ({"a": 1}, 1, "x", 60)
