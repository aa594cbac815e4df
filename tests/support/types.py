"""Values of every type that a session holds, and of types that it refuses."""

import collections
import dataclasses
import enum
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import strategies as st

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=20)
    | st.binary(max_size=20)
)  # fmt: skip
CARRIED = (
    st.datetimes() | st.datetimes(timezones=st.just(timezone.utc)) | st.dates() | st.times() | st.timedeltas()
    | st.decimals(allow_nan=False) | st.uuids()
)  # fmt: skip
KEYS = st.recursive(
    SCALARS | st.datetimes(timezones=st.just(timezone.utc)),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)
HASHABLE = st.recursive(
    SCALARS | CARRIED,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
VALUES = st.recursive(
    SCALARS | CARRIED | st.sets(HASHABLE, max_size=3) | st.frozensets(HASHABLE, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)
DATA = st.dictionaries(KEYS, VALUES, max_size=4)

EXAMPLES: dict[str, Any] = {
    "datetime": datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001 - without a zone
    "datetime in UTC": datetime(2026, 1, 2, tzinfo=timezone.utc),
    "date": date(2026, 1, 2),
    "time": time(3, 4, 5, 6),
    "timedelta": timedelta(days=-1, microseconds=1),
    "longest timedelta": timedelta.max,
    "Decimal": Decimal("9.90"),
    "infinite Decimal": Decimal("-Infinity"),
    "UUID": UUID(int=1),
    "set": {1, "a", (1, frozenset({2}))},
    "frozenset": frozenset({1}),
    "tuple": (1, (2, [3, {"a": (4,)}])),
    "empty": [(), set(), frozenset(), [], {}],
}


def typed(value: Any) -> Any:
    """Return a value together with the types of all that it holds, to be compared with another."""
    kind = type(value)
    if kind is dict:
        return kind, [(typed(key), typed(each)) for key, each in value.items()]
    if kind in (list, tuple):
        return kind, [typed(each) for each in value]
    if kind in (set, frozenset):
        return kind, frozenset(typed_member(each) for each in value)
    return kind, value.isoformat() if kind in (datetime, time) else value


def typed_member(value: Any) -> Any:
    """Return the same for a member of a set, which has to be hashable."""
    if type(value) in (tuple, frozenset):
        members = map(typed_member, value)
        return type(value), tuple(members) if type(value) is tuple else frozenset(members)
    return typed(value)


class Color(enum.Enum):
    """An enumeration."""

    RED = "red"


class Level(enum.IntEnum):
    """An enumeration whose members are numbers."""

    HIGH = 3


class Word(str, enum.Enum):
    """An enumeration whose members are text."""

    HELLO = "hello"


@dataclasses.dataclass(frozen=True)
class Product:
    """A dataclass."""

    price: int = 1


class Model:
    """A model, as those of pydantic."""

    def model_dump(self) -> dict[str, Any]:
        """Return it as a dict."""
        return {}


class Array:
    """What numpy and its like have."""

    def tolist(self) -> list[Any]:
        """Return it as a list."""
        return []


class SafeText(str):
    """A subclass of text."""

    __slots__ = ()


class Moment(datetime):
    """A subclass of datetime, as pendulum has."""


Point = collections.namedtuple("Point", "x y")  # noqa: PYI024 - as applications make them

STORED = "which cannot be stored"
WEST = timezone(timedelta(hours=-1))
REFUSED: list[tuple[str, Any, str]] = [
    ("Color", Color.RED, f"is of type 'Color', {STORED}; pass its .value"),
    ("Level", Level.HIGH, f"is of type 'Level', {STORED}; pass its .value"),
    ("Word", Word.HELLO, f"is of type 'Word', {STORED}; pass its .value"),
    ("dataclass", Product(), f"is of type 'Product', {STORED}; pass dataclasses.asdict() of it"),
    ("class", Product, f"is of type 'type', {STORED}"),
    ("model", Model(), f"is of type 'Model', {STORED}; pass its model_dump()"),
    ("array", Array(), f"is of type 'Array', {STORED}; pass its tolist()"),
    ("named tuple", Point(1, 2), f"is of type 'Point', {STORED}; pass its _asdict(), or tuple() of it"),
    ("str subclass", SafeText("x"), f"is of type 'SafeText', {STORED}; convert it to a plain str"),
    ("dict subclass", collections.Counter("x"), f"is of type 'Counter', {STORED}; convert it to a plain dict"),
    ("datetime subclass", Moment(2026, 1, 2), f"is of type 'Moment', {STORED}; convert it to a plain datetime"),
    ("bytearray", bytearray(b"x"), f"is of type 'bytearray', {STORED}; convert it to bytes"),
    ("memoryview", memoryview(b"x"), f"is of type 'memoryview', {STORED}; convert it to bytes"),
    ("complex", 1j, f"is of type 'complex', {STORED}"),
    ("range", range(3), f"is of type 'range', {STORED}"),
    ("packed", msgspec.Raw(b"\x01"), f"is of type 'Raw', {STORED}"),
    ("extension", msgspec.msgpack.Ext(5, b""), "is of extension type 5, which this version does not know"),
    ("large int", 2**64, "is an int of more than 64 bits; store it as a str"),
    ("surrogate", "\ud800", "is a str with a lone surrogate, which UTF-8 cannot encode"),
    ("time with a zone", time(1, tzinfo=WEST), "is a time with a zone; store a datetime, or leave the zone out"),
    ("end of time", datetime.max.replace(tzinfo=WEST), "is a datetime that has no time in UTC; leave its zone out"),
]
REFUSED_KEYS: list[tuple[str, Any, str]] = [
    ("UUID", UUID(int=1), "is of type 'UUID', which no key can be; make it a str or an int"),
    ("Level", Level.HIGH, "is of type 'Level', which no key can be; make it a str or an int"),
    ("date", date(2026, 1, 2), "is of type 'date', which no key can be; make it a str or an int"),
    ("datetime", datetime(2026, 1, 2), "is of type 'datetime', which no key can be; make it a str or an int"),  # noqa: DTZ001 - without a zone
    ("Decimal", Decimal(1), "is of type 'Decimal', which no key can be; make it a str or an int"),
    ("frozenset", frozenset({1}), "is of type 'frozenset', which no key can be; make it a str or an int"),
    ("large int", 2**64, "is an int of more than 64 bits; store it as a str"),
]
