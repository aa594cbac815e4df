"""Values that JSON has no word for."""

import json
import math
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crudjt
from crudjt.cli import (
    json_values,
)
from tests.cli.shell import Command


def test_what_json_cannot_carry_is_printed_as_documented(command: Command, live: crudjt.Store) -> None:
    data = {
        "bytes": b"\x00\x01\x02",
        "moment": datetime(2026, 1, 31, 12, tzinfo=timezone.utc),
        "numbers": [float("nan"), float("inf"), float("-inf"), 2**64 - 1],
        "ext": msgspec.msgpack.Ext(5, b"\x00\x01\x02"),
        "map": {1: "one", b"": None},
        "lookalike": {"$bytes": "AAEC"},
    }
    expected = {
        "bytes": {"$bytes": "AAEC"},
        "moment": {"$timestamp": "2026-01-31T12:00:00Z"},
        "numbers": [{"$float": "NaN"}, {"$float": "Infinity"}, {"$float": "-Infinity"}, 2**64 - 1],
        "ext": {"$ext": [5, "AAEC"]},
        "map": {"$map": [[1, "one"], [{"$bytes": ""}, None]]},
        "lookalike": {"$map": [["$bytes", "AAEC"]]},
    }
    token = live.create(data)
    assert json.loads(command("read", token).stdout) == expected
    assert json.loads(command("read", "--json", token).stdout)["data"] == expected


def test_what_read_prints_update_takes_without_loss(command: Command, live: crudjt.Store) -> None:
    token = live.create({1: b"\x00", "when": datetime(2026, 1, 31, tzinfo=timezone.utc), "nested": {(1, 2): [{}]}})
    before = live.peek(token)
    assert command("update", token, "-", stdin=command("read", token).stdout).exit_code == 0
    after = live.peek(token)
    assert before is not None
    assert after is not None
    assert (after.data, after.version) == (before.data, 2)


@pytest.mark.parametrize("depth", [257, 5000])
def test_data_that_is_nested_too_deeply_is_refused_in_words(command: Command, live: crudjt.Store, depth: int) -> None:
    """Whether the reader of JSON or the store finds out, which depends on the interpreter."""
    result = command("create", "-", stdin='{"":' * depth + "1" + "}" * depth)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nested" in result.stderr


def test_data_that_is_nested_as_deeply_as_is_allowed_can_be_printed(command: Command, live: crudjt.Store) -> None:
    nested: dict[Any, Any] = {}
    for _ in range(127):
        nested = {1: nested}
    result = command("peek", live.create(nested))
    assert result.exit_code == 0
    assert result.stdout.count("$map") == 127


_KEYS = st.text(max_size=3) | st.sampled_from(["$bytes", "$map"]) | st.integers(-9, 9) | st.binary(max_size=3)
_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.just(math.nan)
    | st.text() | st.binary() | st.datetimes(timezones=st.just(timezone.utc))
)  # fmt: skip
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4))


@given(_VALUES)
def test_every_value_survives_the_way_through_json(value: Any) -> None:
    text = msgspec.json.encode(json_values.to_json(value))
    assert msgspec.msgpack.encode(json_values.parse(text)) == msgspec.msgpack.encode(value)
