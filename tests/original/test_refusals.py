"""What the four calls refuse, and in which words: a `ValueError` here, a status for the original's clients."""

from typing import Any

import pytest

from tests.original.agents import INSTALLATION_SECONDS, Agent, Raised

pytestmark = pytest.mark.timeout(2 * INSTALLATION_SECONDS + 60)  # the first that needs the original installs it

BLANK = "token can't be blank"
NO_TEXT = "token must be a string"
NO_DICT = "Must be a dictionary"
TOO_BIG = "Hash can not be bigger than 256 bytesize"
BAD_TTL = "ttl should be greater than 0 and less than 2^64"
BAD_READS = "silence_read should be greater than 0 and less than 2^64"
TOKEN = "A" * 22

Case = tuple[str, tuple[Any, ...], str]  # a call, its arguments, the message

REFUSED: list[Case] = [
    ("read", ("",), BLANK),
    ("update", ("", {}), BLANK),
    ("delete", ("",), BLANK),
    ("create", ([1],), NO_DICT),
    ("create", (None,), NO_DICT),
    ("create", ("text",), NO_DICT),
    ("update", (TOKEN, [1]), NO_DICT),
    ("create", ({"a": "x" * 300},), TOO_BIG),
    ("create", ({"a": "x" * 252},), TOO_BIG),
    ("update", (TOKEN, {"a": "x" * 300}), TOO_BIG),
    ("create", ({"a": "x" * 10_000},), TOO_BIG),
    ("create", ({}, -2), BAD_TTL),
    ("create", ({}, None, -2), BAD_READS),
    ("update", (TOKEN, {}, -2), BAD_TTL),
    ("update", (TOKEN, {}, None, -2), BAD_READS),
]
# What a client of the original never sends, or sends as something else.
REFUSED_HERE: list[Case] = [
    ("read", (5,), NO_TEXT),
    ("read", (None,), NO_TEXT),
    ("update", (5, {}), NO_TEXT),
    ("delete", (b"A" * 22,), NO_TEXT),
    ("create", ({}, 0), BAD_TTL),
    ("create", ({}, -1), BAD_TTL),
    ("create", ({}, 2**64), BAD_TTL),
    ("create", ({}, None, 0), BAD_READS),
    ("create", ({}, None, -1), BAD_READS),
    ("create", ({}, None, 2**64), BAD_READS),
    ("update", (TOKEN, {}, 0), BAD_TTL),
    ("update", (TOKEN, {}, None, 0), BAD_READS),
]
TTL_RULE = "ttl must be a whole number from 1 to 31622400000 (1000 years), or None"
READS_RULE = "silence_read must be a whole number from 1 to 9223372036854775807, or None"

# What the original answers with an overflow, or with an error of ctypes or of Python.
ITS_FAULTS: list[Case] = [
    (
        "create",
        ({}, 2**40),
        "ttl must be a whole number from 1 to 31622400000 (1000 years), or None, not 1099511627776",
    ),
    ("create", ({}, 2**64 - 1), f"{TTL_RULE}, not 18446744073709551615"),
    ("create", ({}, 1.5), f"{TTL_RULE}, not float"),
    ("create", ({}, float("nan")), f"{TTL_RULE}, not float"),
    ("create", ({}, "60"), f"{TTL_RULE}, not str"),
    ("create", ({}, True), f"{TTL_RULE}, not bool"),
    ("create", ({}, None, 2**63), f"{READS_RULE}, not 9223372036854775808"),
    ("create", ({}, None, 1.5), f"{READS_RULE}, not float"),
    ("create", ({"a": 2**64},), "data['a'] is an int of more than 64 bits"),
    ("create", ({"a": 1j},), "data['a'] is of type 'complex'"),
    ("update", (TOKEN, {}, 2**40), f"{TTL_RULE}, not 1099511627776"),
]


@pytest.fixture(params=["master", "client"])
def face(request: pytest.FixtureRequest) -> Agent:
    agent: Agent = request.getfixturevalue(request.param)
    return agent


def refusal(agent: Agent, call: str, arguments: tuple[Any, ...]) -> Raised:
    with pytest.raises(Raised) as caught:
        agent.call(call, *arguments)
    return caught.value


@pytest.mark.parametrize(("call", "arguments", "message"), REFUSED + REFUSED_HERE)
def test_a_value_is_refused_in_the_words_of_the_original(
    face: Agent, call: str, arguments: tuple[Any, ...], message: str
) -> None:
    refused = refusal(face, call, arguments)
    assert "ValueError" in refused.classes
    assert refused.message == message


@pytest.mark.parametrize(("call", "arguments", "beginning"), ITS_FAULTS)
def test_a_value_that_the_original_stumbles_over_is_a_clear_error(
    face: Agent, call: str, arguments: tuple[Any, ...], beginning: str
) -> None:
    refused = refusal(face, call, arguments)
    assert "ValueError" in refused.classes
    assert refused.message.startswith(beginning)


@pytest.mark.parametrize(("call", "arguments", "message"), REFUSED)
def test_a_client_of_the_original_is_refused_in_its_words(
    original_client: Agent, call: str, arguments: tuple[Any, ...], message: str
) -> None:
    refused = refusal(original_client, call, arguments)
    assert "RpcError" in refused.classes
    assert refused.message == message


@pytest.mark.parametrize("limits", [(0,), (-1,), (None, 0), (None, -1), (0, 0)], ids=repr)
def test_zero_and_minus_one_of_a_client_of_the_original_are_no_limit(
    original_client: Agent, limits: tuple[int | None, ...]
) -> None:
    token = original_client.create({}, 1000, 2)
    assert original_client.update(token, {}, *limits) is True
    assert original_client.read(token) == {"data": {}}
    assert original_client.read(original_client.create({}, *limits)) == {"data": {}}


def test_the_longest_lifetime_is_exact(face: Agent) -> None:
    years = 31_622_400_000
    answer = face.read(face.create({}, years))
    assert years >= answer["metadata"]["ttl"] > years - 60


def test_the_largest_number_of_reads_is_exact(face: Agent) -> None:
    answer = face.read(face.create({}, None, 2**63 - 1))
    assert answer["metadata"]["silence_read"] == 2**63 - 2


def test_a_caller_that_changes_what_it_read_changes_nothing(master: Agent) -> None:
    """See `test_token_service`, too: here the answer crosses a pipe, there it does not."""
    token = master.create({"roles": ["reader"]})
    master.read(token)["data"]["roles"].append("admin")
    assert master.read(token) == {"data": {"roles": ["reader"]}}
