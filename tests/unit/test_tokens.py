"""Tokens and ids: one spelling each, ascending ids, no way from one to the other without the key."""

import base64
import threading
from typing import cast

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from crudjt._core.tokens import (
    ID_BYTES,
    PLACE,
    TOKEN_CHARACTERS,
    TokenCipher,
    new_id,
    random_place,
    token_block,
    token_blocks,
)
from crudjt.errors import InvalidType

KEY = bytes(range(32))
IDS = st.binary(min_size=ID_BYTES, max_size=ID_BYTES)


@given(id_=IDS)
def test_an_id_goes_to_a_token_and_back(id_: bytes) -> None:
    cipher = TokenCipher(KEY)
    token = cipher.token(id_)
    block = token_block(token)
    assert len(token) == TOKEN_CHARACTERS == 22
    assert block is not None
    assert cipher.id(block) == id_


@given(id_=IDS)
def test_a_token_is_aes_256_of_the_id_in_url_safe_base64(id_: bytes) -> None:
    """Against another implementation of the same steps, with a fresh context for each block."""
    block = Cipher(algorithms.AES256(KEY), modes.ECB()).encryptor().update(id_)
    assert TokenCipher(KEY).token(id_) == base64.urlsafe_b64encode(block).decode().rstrip("=")


def test_tokens_are_the_published_aes_256_vector() -> None:
    """FIPS 197, appendix C.3."""
    token = TokenCipher(KEY).token(bytes.fromhex("00112233445566778899aabbccddeeff"))
    assert base64.urlsafe_b64decode(token + "==").hex() == "8ea2b7ca516745bfeafc49904b496089"


@given(id_=IDS)
def test_another_key_gives_another_token_and_another_id(id_: bytes) -> None:
    one, other = TokenCipher(KEY), TokenCipher(bytes(32))
    block = token_block(one.token(id_))
    assert block is not None
    assert one.token(id_) != other.token(id_)
    assert other.id(block) != id_


@given(block=IDS)
def test_each_block_has_exactly_one_spelling(block: bytes) -> None:
    token = base64.urlsafe_b64encode(block).decode().rstrip("=")
    assert token_block(token) == block
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = [last for last in alphabet if token_block(token[:-1] + last) == block]
    assert accepted == [token[-1]]
    if "-" in token or "_" in token:
        assert token_block(token.replace("-", "+").replace("_", "/")) is None


@given(text=st.text(max_size=40) | st.text(min_size=22, max_size=22))
def test_no_text_makes_decoding_fail(text: str) -> None:
    block = token_block(text)
    assert block is None or base64.urlsafe_b64encode(block).decode().rstrip("=") == text


@given(text=st.binary(min_size=22, max_size=22).map(lambda data: data.decode("latin-1")))
def test_what_lies_outside_the_alphabet_is_never_skipped(text: str) -> None:
    block = token_block(text)
    assert block is None or base64.urlsafe_b64encode(block).decode().rstrip("=") == text


@given(earlier=st.integers(0, 2**63), later=st.integers(0, 2**63))
def test_ids_ascend_with_time(earlier: int, later: int) -> None:
    if earlier < later:
        assert new_id(earlier) < new_id(later)
    assert len(new_id(earlier)) == ID_BYTES


def test_ids_of_one_moment_do_not_repeat() -> None:
    assert len({new_id(1_700_000_000_000_000_000) for _ in range(10_000)}) == 10_000


@given(place=st.binary(min_size=2, max_size=2), now_ns=st.integers(0, 2**63))
def test_an_id_lies_at_the_place_it_was_made_for(place: bytes, now_ns: int) -> None:
    id_ = new_id(now_ns, place)
    assert len(id_) == ID_BYTES
    assert id_[PLACE] == id_[8:10] == place
    assert int.from_bytes(id_[:8], "big") == now_ns


def test_ids_of_one_moment_and_place_do_not_repeat() -> None:
    place = random_place()
    assert len({new_id(1_700_000_000_000_000_000, place) for _ in range(10_000)}) == 10_000


def test_random_places_differ() -> None:
    assert len({random_place() for _ in range(100)}) > 50


def test_a_time_beyond_eight_bytes_still_makes_ids() -> None:
    """The year 2554: such an id no longer ascends, and nothing else is wrong with it."""
    assert new_id(2**80)[:8] == b"\xff" * 8


def test_threads_get_right_tokens_from_a_shared_cipher() -> None:
    """A context may not be used by two threads at once, so each thread has its own."""
    cipher = TokenCipher(KEY)
    ids = [bytes([number % 256, number // 256]) * 8 for number in range(2000)]
    expected = [TokenCipher(KEY).token(id_) for id_ in ids]
    results: list[list[str]] = []
    start = threading.Barrier(4)

    def run() -> None:
        start.wait()
        results.append([cipher.token(id_) for id_ in ids])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


@pytest.mark.parametrize(
    "other",
    ["", "A" * 21, "A" * 23, "A" * 21 + "B", "A" * 21 + "=", "A" * 20 + "é" + "A", "+" + "A" * 21, "A B" + "A" * 19],
)
def test_many_tokens_are_decoded_as_each_is(other: str) -> None:
    tokens = ["AAECAwQFBgcICQoLDA0ODw", "-" * 21 + "w", "_" * 21 + "Q", "A" * 22]
    assert token_blocks(tokens) == [token_block(token) for token in tokens]
    assert None not in token_blocks(tokens)
    assert token_blocks([*tokens, other, *tokens]) == [token_block(token) for token in [*tokens, other, *tokens]]
    assert token_blocks([]) == []


def test_a_token_of_many_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidType):
        token_blocks(["A" * 22, cast("str", b"A" * 22)])
