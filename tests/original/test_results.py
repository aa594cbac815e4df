"""What the four calls answer: the same from a master, from its clients, and from the original's engine and clients."""

from typing import Any

import pytest

from tests.original.agents import INSTALLATION_SECONDS, Agent

pytestmark = pytest.mark.timeout(2 * INSTALLATION_SECONDS + 60)  # the first that needs the original installs it

DATA = {"user_id": 42, "role": 11}
NEW_DATA = {"user_id": 42, "role": 8}
UNKNOWN = ["A" * 22, "HBmKFXoXgJ46mCqer1WXyQ", "garbage", "ключ", "A" * 10_000]


@pytest.fixture(params=["master", "client", "original_client", "client_of_original"])
def face(request: pytest.FixtureRequest) -> Agent:
    agent: Agent = request.getfixturevalue(request.param)
    return agent


def test_a_token_without_limits_has_data_only(face: Agent) -> None:
    token = face.create(DATA)
    assert len(token) == 22
    assert face.read(token) == {"data": DATA}
    assert face.read(token) == {"data": DATA}


def test_a_lifetime_is_shown_in_whole_seconds(face: Agent) -> None:
    token = face.create(DATA, 100)
    answer = face.read(token)
    assert answer.keys() == {"metadata", "data"}
    assert answer["metadata"].keys() == {"ttl"}
    assert 100 >= answer["metadata"]["ttl"] > 40  # the machine may be slow
    assert isinstance(answer["metadata"]["ttl"], int)


def test_limited_reads_are_counted_down_to_none(face: Agent) -> None:
    token = face.create(DATA, None, 3)
    assert [face.read(token) for _ in range(5)] == [
        {"metadata": {"silence_read": 2}, "data": DATA},
        {"metadata": {"silence_read": 1}, "data": DATA},
        {"metadata": {"silence_read": 0}, "data": DATA},
        None,
        None,
    ]


def test_both_limits_are_shown_together(face: Agent) -> None:
    answer = face.read(face.create(DATA, 1000, 9))
    assert answer["metadata"].keys() == {"ttl", "silence_read"}
    assert answer["metadata"]["silence_read"] == 8


def test_an_update_sets_data_and_limits(face: Agent) -> None:
    token = face.create(DATA)
    assert face.update(token, NEW_DATA, 1000, 5) is True
    answer = face.read(token)
    assert answer["data"] == NEW_DATA
    assert answer["metadata"]["silence_read"] == 4
    assert 1000 >= answer["metadata"]["ttl"] > 900


def test_an_update_without_limits_removes_them(face: Agent) -> None:
    token = face.create(DATA, 1000, 2)
    assert face.update(token, NEW_DATA) is True
    assert [face.read(token) for _ in range(3)] == [{"data": NEW_DATA}] * 3


def test_a_token_is_deleted_once(face: Agent) -> None:
    token = face.create(DATA)
    assert face.delete(token) is True
    assert face.delete(token) is False
    assert face.read(token) is None
    assert face.update(token, NEW_DATA) is False


@pytest.mark.parametrize("token", UNKNOWN, ids=["A", "foreign", "garbage", "Cyrillic", "long"])
def test_an_unknown_token_is_none_and_false(face: Agent, token: str) -> None:
    assert face.read(token) is None
    assert face.update(token, NEW_DATA) is False
    assert face.delete(token) is False


def test_a_used_up_token_is_none_and_false(face: Agent) -> None:
    token = face.create(DATA, None, 1)
    assert face.read(token) is not None
    assert face.read(token) is None
    assert face.update(token, NEW_DATA) is False
    assert face.delete(token) is False


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, -1, 2**60, -(2**60), 1.5, "text", "ключ", [1, [2, None]], {"a": {"b": [{}]}}],
    ids=repr,
)
def test_values_come_back_equal(face: Agent, value: Any) -> None:
    [[name, found]] = face.read(face.create({"value": value}))["data"].items()
    assert name == "value"
    assert found == value
    assert type(found) is type(value)


def test_data_of_256_bytes_is_taken(face: Agent) -> None:
    data = {"a": "x" * 251}  # one byte for the map, two for the key, two before the text
    assert face.read(face.create(data)) == {"data": data}
    assert face.update(face.create({}), data) is True
