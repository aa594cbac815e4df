"""The types of values: a value comes back equal and of its type, or is refused with its place in the data."""

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings

import crudjt
from tests.support.stores import read
from tests.support.types import DATA, EXAMPLES, REFUSED, REFUSED_KEYS, typed


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=DATA)
@example(data=EXAMPLES)
def test_values_come_back_equal_and_of_their_types(store: crudjt.Store, data: dict[Any, Any]) -> None:
    """Twice: from the store and from the cache."""
    token = store.create(data)
    for _ in range(2):
        assert typed(read(store, token).data) == typed(data)
    assert store.update(token, {"list": [data]})
    assert typed(read(store, token).data) == typed({"list": [data]})


def test_a_point_in_time_comes_back_in_utc(store: crudjt.Store) -> None:
    given = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    found = read(store, store.create({"at": given})).data["at"]
    assert found == given
    assert found.tzinfo is timezone.utc


def test_a_decimal_keeps_its_digits(store: crudjt.Store) -> None:
    assert str(read(store, store.create({"price": Decimal("9.90")})).data["price"]) == "9.90"


@pytest.mark.parametrize("kind", [tuple, frozenset])
def test_tuples_and_sets_may_be_nested_64_deep(store: crudjt.Store, kind: Any) -> None:
    nested = kind()
    for _ in range(63):
        nested = kind([nested])
    token = store.create({"a": nested})
    assert read(store, token).data == {"a": nested}
    with pytest.raises(crudjt.InvalidParameter, match=r"nested too deeply; .* and 64 of tuples and sets"):
        store.update(token, {"a": kind([nested])})


def test_lists_that_hold_themselves_are_refused(store: crudjt.Store) -> None:
    """Without an attempt to follow each of the endless paths."""
    data: list[Any] = []
    data += [data, data, (1,)]
    with pytest.raises(crudjt.InvalidParameter, match="nested too deeply"):
        store.create({"a": data})


@pytest.mark.table
@pytest.mark.parametrize(("value", "text"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_other_values_are_refused_with_their_place(store: crudjt.Store, value: Any, text: str) -> None:
    token = store.create({"kept": True})
    data = {"cart": [None, {"item": value}]}
    for call in (
        lambda: store.create(data),
        lambda: store.update(token, data),
        lambda: store.create_many([{}, data]),
        lambda: store.rotate(token, data=data),
    ):
        with pytest.raises(crudjt.InvalidParameter) as caught:
            call()
        assert str(caught.value) == f"data['cart'][1]['item'] {text}"
    with pytest.raises(crudjt.InvalidParameter) as caught:
        store.create({"pair": (1, (value,))})
    assert str(caught.value) == f"data['pair'][1][0] {text}"
    assert read(store, token).data == {"kept": True}


@pytest.mark.table
@pytest.mark.parametrize(("key", "text"), [each[1:] for each in REFUSED_KEYS], ids=[each[0] for each in REFUSED_KEYS])
def test_other_keys_are_refused_with_their_place(store: crudjt.Store, key: Any, text: str) -> None:
    for made in (key, (1, key)):
        with pytest.raises(crudjt.InvalidParameter) as caught:
            store.create({"cart": [{made: 1}]})
        if made is key:
            assert str(caught.value) == f"data['cart'][0] has a key that {text}"
        assert "data['cart'][0] has a key" in str(caught.value)
