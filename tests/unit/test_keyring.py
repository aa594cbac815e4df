"""Secret keys: what is taken, what is derived, and that no key shows anywhere."""

import base64
import hmac
import os
import traceback
from typing import Any

import pytest

import crudjt
from crudjt._core.keyring import Key, Keyring, Placement, decode_secret_keys, generate_secret_key, hmac_sha256

SALT = bytes(32)


def secret(size: int, first: int = 7) -> bytes:
    return bytes(range(first, first + size))


def encoded(size: int, first: int = 7) -> str:
    return base64.b64encode(secret(size, first)).decode()


def test_a_generated_key_is_base64_of_32_bytes_and_new_each_time() -> None:
    keys = {generate_secret_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(base64.b64decode(key, validate=True)) for key in keys} == {32}


@pytest.mark.parametrize("size", [32, 48, 64])
def test_keys_of_32_48_and_64_bytes_are_taken(size: int) -> None:
    assert decode_secret_keys(encoded(size)) == [secret(size)]


@pytest.mark.parametrize("size", [1, 16, 31, 33, 47, 49, 63, 65, 128])
def test_keys_of_other_sizes_are_refused_with_their_size(size: int) -> None:
    with pytest.raises(crudjt.InvalidParameter, match=f"decodes to {size} bytes"):
        decode_secret_keys(encoded(size))


def test_lists_keep_their_order_and_may_mix_sizes() -> None:
    keys = [encoded(32, 1), encoded(64, 2), encoded(48, 3)]
    for listed in (keys, tuple(keys)):
        assert decode_secret_keys(listed) == [secret(32, 1), secret(64, 2), secret(48, 3)]


def test_white_space_around_a_key_is_ignored() -> None:
    """A key that was read from a file ends with a newline."""
    assert decode_secret_keys(f"\n {encoded(32)}\r\n") == [secret(32)]


@pytest.mark.parametrize("size", [32, 48, 64])
@pytest.mark.parametrize("pattern", [b"\0", b"k", b"changeme", b"password-", b"0123456789abcdef", secret(16)])
def test_a_key_that_repeats_itself_is_refused(pattern: bytes, size: int) -> None:
    weak = base64.b64encode((pattern * size)[:size]).decode()
    with pytest.raises(crudjt.InvalidParameter, match="not random"):
        decode_secret_keys(weak)


def test_a_key_of_hexadecimal_digits_passes() -> None:
    """They have 128 bits; only what was typed is refused."""
    for _ in range(1000):
        decode_secret_keys(base64.b64encode(os.urandom(16).hex().encode()).decode())


@pytest.mark.parametrize(
    "bad",
    [
        "", "  ", "\n", "*" * 44, "é" * 44, "\ud800" * 44, encoded(32)[:-1], encoded(32) + "!",
        encoded(16) + "\n" + encoded(16), base64.urlsafe_b64encode(b"\xff" * 32).decode(), "not base64 at all",
        [], (), [""], [None], [5], [encoded(32), "x"], [encoded(32), encoded(31)], [[encoded(32)]],
        b"bytes", base64.b64encode(bytes(32)), 5, 1.5, True, object(), {},
    ],
)  # fmt: skip
def test_what_is_no_key_is_refused_by_name(bad: Any) -> None:
    with pytest.raises(crudjt.InvalidParameter) as caught:
        decode_secret_keys(bad)
    assert caught.value.parameter == "secret_key"


@pytest.mark.parametrize(
    "spoil", [lambda key: key[:-4], lambda key: key[:-1], lambda key: key + "%", lambda key: key * 5]
)
def test_a_key_is_in_no_error(spoil: Any) -> None:
    """Not in the message, not in the arguments, not in a traceback."""
    key = spoil(generate_secret_key())
    for given in (key, [generate_secret_key(), key]):
        with pytest.raises(crudjt.InvalidParameter) as caught:
            decode_secret_keys(given)
        shown = str(caught.value) + repr(caught.value) + repr(caught.value.args) + repr(vars(caught.value))
        shown += "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
        assert key not in shown
        assert key[:20] not in shown


def test_keys_and_rings_show_nothing_of_what_they_hold() -> None:
    secret = os.urandom(32)
    ring = Keyring([secret], SALT)
    for shown in (repr(ring), str(ring), repr(ring.newest), repr(ring.newest_first), repr(ring.newest.cipher)):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


def test_the_ring_is_given_oldest_to_newest() -> None:
    old, new = b"\x01" * 32, b"\x02" * 32
    ring = Keyring([old, new], SALT)
    assert ring.newest.fingerprint == Key(new, SALT).fingerprint
    assert [key.fingerprint for key in ring.newest_first] == [
        Key(new, SALT).fingerprint,
        Key(old, SALT).fingerprint,
    ]
    assert ring.fingerprints == [Key(old, SALT).fingerprint, Key(new, SALT).fingerprint]


def outputs(key: Key) -> tuple[str, bytes, str, bytes]:
    """Return something that each subkey makes."""
    return key.tokens.token(bytes(16)), key.cipher.encrypt(bytes(24), b"", b""), key.fingerprint, key.subject_tag("x")


def test_the_same_secret_and_salt_make_the_same_subkeys() -> None:
    assert outputs(Key(b"\x01" * 32, SALT)) == outputs(Key(b"\x01" * 32, SALT))


@pytest.mark.parametrize(
    ("secret", "salt"),
    [(b"\x02" * 32, SALT), (b"\x01" * 48, SALT), (b"\x01" * 32, b"\x01" * 32)],
    ids=["another secret", "a longer secret", "another store"],
)
def test_another_secret_or_store_makes_other_subkeys(secret: bytes, salt: bytes) -> None:
    for one, other in zip(outputs(Key(b"\x01" * 32, SALT)), outputs(Key(secret, salt)), strict=True):
        assert one != other


def test_subkeys_are_hkdf_sha256_of_the_secret_with_the_stores_salt() -> None:
    """RFC 5869 written out: a store must stay readable when this module is rewritten."""

    def derive(purpose: str) -> bytes:
        extracted = hmac.digest(SALT, b"\x01" * 32, "sha256")
        return hmac.digest(extracted, f"crudjt v1 {purpose}".encode() + b"\x01", "sha256")

    key = Key(b"\x01" * 32, SALT)
    assert key.fingerprint == derive("fingerprint")[:8].hex()
    assert key.subject_tag("user 42") == hmac.digest(derive("subject"), b"user 42", "sha256")[:16]


@pytest.mark.parametrize("size", [0, 1, 32, 63, 64])
def test_keyed_hashes_are_hmac_sha256(size: int) -> None:
    """Against the standard library's, for keys up to the block size, and again with the states that were kept."""
    key = os.urandom(size)
    hashed = hmac_sha256(key)
    for message in (b"", b"user 42", bytes(1000)) * 2:
        assert hashed(message) == hmac.digest(key, message, "sha256")


def test_a_place_is_two_bytes_of_the_keyed_hash_of_the_subject() -> None:
    assert Placement(b"p" * 32).of("user 42") == hmac.digest(b"p" * 32, b"user 42", "sha256")[:2]


def test_each_key_opens_its_copy_of_the_placement_key_and_no_other() -> None:
    ring, placement_key = Keyring([b"\x01" * 32, b"\x02" * 32], SALT), os.urandom(32)
    copies = ring.seal_placement_key(placement_key)
    assert list(copies) == ring.fingerprints
    for secret in (b"\x01" * 32, b"\x02" * 32):
        assert Keyring([secret], SALT).open_placement_key(copies) == placement_key
    one, other = ring.fingerprints
    assert Keyring([b"\x01" * 32], SALT).open_placement_key({one: copies[other]}) is None
    assert Keyring([b"\x01" * 32], SALT).open_placement_key({}) is None
    elsewhere = Keyring([b"\x01" * 32], b"\x01" * 32)
    assert elsewhere.open_placement_key({elsewhere.fingerprints[0]: copies[one]}) is None


def test_subject_tags_are_16_bytes_and_differ() -> None:
    key = Key(b"\x01" * 32, SALT)
    tags = {key.subject_tag(str(number)) for number in range(1000)}
    assert len(tags) == 1000
    assert {len(tag) for tag in tags} == {16}
