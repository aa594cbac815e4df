"""Tokens that nobody was given: of any length and alphabet, and every other spelling of a real one."""

import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crudjt
from tests.support.stores import assert_unknown, read

URL_SAFE = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"

WITH_FIXTURES = settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # one store serves all examples: none of them changes it


@pytest.mark.table
@WITH_FIXTURES
@given(token=st.text(max_size=60) | st.text(min_size=22, max_size=22) | st.text(URL_SAFE, min_size=20, max_size=24))
def test_no_text_that_was_not_given_out_is_a_token(store: crudjt.Store, token: str) -> None:
    assert_unknown(store, token)


@pytest.mark.table
@pytest.mark.parametrize(
    "token",
    [
        "", " ", "A", "A" * 21, "A" * 22, "A" * 23, "A" * 24, "A" * 21 + "B", "_" * 22, "-" * 22, "=" * 22,
        "A" * 20 + "==", "\x00" * 22, "\n" * 22, "é" * 22, "\ud800" * 22, "🐍" * 22,
        "../../../../etc/passwd", "%41" * 7 + "A", "A" * 21 + "\u0661", "\uff21" * 22,
    ],
)  # fmt: skip
def test_hostile_texts_are_unknown(store: crudjt.Store, token: str) -> None:
    assert_unknown(store, token)


def test_a_text_of_a_million_characters_is_unknown(store: crudjt.Store) -> None:
    assert_unknown(store, "A" * 1_000_000)


def other_spellings(token: str) -> list[str]:
    """Return every spelling that a lenient Base64 decoder takes for the same 16 bytes, or nearly does."""
    standard = token.replace("-", "+").replace("_", "/")
    last = URL_SAFE.index(token[-1])
    stray_bits = [
        token[:-1] + URL_SAFE[last & 0x30 | bits] for bits in range(16) if URL_SAFE[last & 0x30 | bits] != token[-1]
    ]
    white_space = [token[:at] + space + token[at:] for at in (0, 11, 22) for space in " \n\r\t\x00\u200b"]
    padding = [token + "=", token + "==", token + "====", "=" + token, token[:-1] + "="]
    return [*stray_bits, *white_space, *padding, standard + "==", *([standard] if standard != token else [])]


@pytest.mark.table
def test_each_other_spelling_of_a_token_is_unknown(store: crudjt.Store) -> None:
    """Also while the token itself sits in the cache. Fifty tokens make sure of ``-`` and ``_``, which have twins."""
    tokens = [store.create({"n": number}) for number in range(50)]
    assert any("-" in token or "_" in token for token in tokens)
    for token in tokens:
        read(store, token)
        for spelling in other_spellings(token):
            assert store.read(spelling) is None, spelling
            assert store.peek(spelling) is None, spelling
    for spelling in other_spellings(tokens[0]):
        assert_unknown(store, spelling)
    assert [read(store, token).data["n"] for token in tokens] == list(range(50))


def test_the_last_character_is_one_of_four(store: crudjt.Store) -> None:
    """It carries two bits; the four that remain are zero."""
    assert {store.create({})[-1] for _ in range(200)} == set("AQgw")


@pytest.mark.table
@WITH_FIXTURES
@given(at=st.integers(0, 21), character=st.sampled_from(URL_SAFE + "+/=. \u00e9"))
def test_a_token_with_another_character_is_unknown(store: crudjt.Store, at: int, character: str) -> None:
    token = store.create({"a": 1})
    changed = token[:at] + character + token[at + 1 :]
    if changed != token:
        assert_unknown(store, changed)
    assert read(store, token).data == {"a": 1}


@pytest.mark.parametrize(
    "change",
    [str.upper, str.lower, str.swapcase, lambda token: token[::-1], lambda token: token[1:], lambda token: token[:-1],
     lambda token: token + token, lambda token: token[1:] + token[0]],
    ids=["upper", "lower", "swapped case", "reversed", "first cut", "last cut", "doubled", "turned"],
)  # fmt: skip
def test_a_changed_token_is_unknown(store: crudjt.Store, change: Callable[[str], str]) -> None:
    token = store.create({})
    read(store, token)
    assert_unknown(store, change(token))


@pytest.mark.table
@pytest.mark.parametrize(
    "token",
    [None, 5, 1.5, True, b"A" * 22, bytearray(22), ["A" * 22], ("A" * 22,), {"a": 1}, {"A" * 22}, object(), str],
)
def test_a_token_that_is_no_text_is_an_invalid_parameter(store: crudjt.Store, token: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: store.read(token),
        lambda: store.peek(token),
        lambda: store.update(token, {}),
        lambda: store.touch(token),
        lambda: store.rotate(token),
        lambda: store.delete(token),
        lambda: store.read_many([token]),
        lambda: store.delete_many([token]),
    ]
    for call in calls:
        with pytest.raises(crudjt.InvalidParameter) as caught:
            call()
        assert caught.value.parameter == "token"
        assert type(token).__name__ in str(caught.value)


def test_bytes_of_a_real_token_are_no_token_even_when_it_is_cached(store: crudjt.Store) -> None:
    token: Any = store.create({})
    read(store, token)
    with pytest.raises(crudjt.InvalidParameter):
        store.read(token.encode())
