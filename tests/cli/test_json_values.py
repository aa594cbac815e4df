"""Values that JSON has no word for."""

import json
import math
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crudjt
from crudjt.cli import json_values
from tests.cli.shell import Command
from tests.support.types import VALUES, typed


def test_what_json_cannot_carry_is_printed_as_documented(command: Command, live: crudjt.Store) -> None:
    data = {
        "bytes": b"\x00\x01\x02",
        "moment": datetime(2026, 1, 31, 12, tzinfo=timezone.utc),
        "numbers": [float("nan"), float("inf"), float("-inf"), 2**64 - 1],
        "local": datetime(2026, 1, 31, 12),  # noqa: DTZ001 - without a zone
        "day": date(2026, 1, 31),
        "hour": time(12, 30),
        "span": timedelta(days=1, hours=1),
        "price": Decimal("9.90"),
        "uuid": UUID(int=1),
        "pair": (1, (2,)),
        "set": {1},
        "frozenset": frozenset({b""}),
        "map": {1: "one", b"": None},
        "lookalike": {"$bytes": "AAEC"},
    }
    expected = {
        "bytes": {"$bytes": "AAEC"},
        "moment": {"$timestamp": "2026-01-31T12:00:00Z"},
        "numbers": [{"$float": "NaN"}, {"$float": "Infinity"}, {"$float": "-Infinity"}, 2**64 - 1],
        "local": {"$datetime": "2026-01-31T12:00:00"},
        "day": {"$date": "2026-01-31"},
        "hour": {"$time": "12:30:00"},
        "span": {"$timedelta": [1, 3600, 0]},
        "price": {"$decimal": "9.90"},
        "uuid": {"$uuid": "00000000-0000-0000-0000-000000000001"},
        "pair": {"$tuple": [1, {"$tuple": [2]}]},
        "set": {"$set": [1]},
        "frozenset": {"$frozenset": [{"$bytes": ""}]},
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


_LOOKALIKES = st.dictionaries(st.sampled_from(["$bytes", "$map", "$tuple", "$uuid"]), VALUES, max_size=1)


@given(VALUES | _LOOKALIKES)
def test_every_value_survives_the_way_through_json(value: Any) -> None:
    text = msgspec.json.encode(json_values.to_json(value))
    assert typed(json_values.parse(text)) == typed(value)


def test_not_a_number_survives_the_way_through_json() -> None:
    assert math.isnan(json_values.parse(msgspec.json.encode(json_values.to_json(math.nan))))


def test_an_extension_type_that_is_unknown_is_printed(command: Command, live: crudjt.Store) -> None:
    """As another version may have stored it; an update with it is refused."""
    value = json_values.parse(b'{"$ext": [50, "AAEC"]}')
    assert json_values.to_json(value) == {"$ext": [50, "AAEC"]}
    result = command("update", live.create({}), '{"new": {"$ext": [50, "AAEC"]}}')
    assert result.exit_code == 2
    assert "data['new'] is of extension type 50" in result.stderr
