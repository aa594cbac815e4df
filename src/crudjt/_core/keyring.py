"""Secret keys and what is derived from them.

A secret key is Base64 text of 32, 48 or 64 bytes. HKDF-SHA256 (RFC 5869), salted with the store's own salt, turns it
into subkeys of one purpose each. The keys of a ring are ordered oldest to newest: the newest makes tokens, all read.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crudjt._core.tokens import PLACE_BYTES, TokenCipher
from crudjt._core.xaes import XAES256GCM
from crudjt.errors import InvalidParameter, InvalidType

SECRET_KEY_SIZES = (32, 48, 64)
TAG_BYTES = 16
FINGERPRINT_BYTES = 8
PLACEMENT_KEY_BYTES = 32

_SHA256_BLOCK_BYTES = 64
_MIN_DIFFERENT_BYTES = 8

_RULE = "a secret key is Base64 of 32, 48 or 64 bytes (to make one: crudjt keygen)"


class Key:
    """The subkeys of one secret key in one store. Its repr shows none of them."""

    def __init__(self, secret: bytes, salt: bytes) -> None:
        """Derive every subkey at once."""

        def derive(purpose: str, size: int) -> bytes:
            return HKDF(SHA256(), size, salt, f"crudjt v1 {purpose}".encode()).derive(secret)

        self.tokens: TokenCipher = TokenCipher(derive("token", 32))
        self.cipher: XAES256GCM = XAES256GCM(derive("record", 32))
        self.fingerprint: str = derive("fingerprint", FINGERPRINT_BYTES).hex()
        self._subject_hash = hmac_sha256(derive("subject", 32))
        self._label_hash = hmac_sha256(derive("label", 32))
        self._placement_subkey = derive("placement", 32)
        self._salt = salt

    def subject_tag(self, subject: str) -> bytes:
        """Return the keyed hash under which the sessions of a subject are indexed."""
        return self._subject_hash(subject.encode())[:TAG_BYTES]

    def label_tag(self, label: str) -> bytes:
        """Return the keyed hash under which the sessions of a label are indexed."""
        return self._label_hash(label.encode())[:TAG_BYTES]

    def seal_placement_key(self, placement_key: bytes) -> str:
        """Encrypt the placement key of the store for the manifest; return hexadecimal text."""
        return XAES256GCM(self._placement_subkey).seal(placement_key, self._salt).hex()

    def open_placement_key(self, sealed: str) -> bytes | None:
        """Decrypt a copy of the placement key; ``None`` if it is of another key or another store, or was changed."""
        try:
            return XAES256GCM(self._placement_subkey).open(bytes.fromhex(sealed), 0, self._salt)
        except (InvalidTag, ValueError):  # not hexadecimal, or too short
            return None


class Keyring:
    """The keys of an open store."""

    def __init__(self, secrets: Sequence[bytes], salt: bytes) -> None:
        """Take decoded secret keys, oldest to newest, and the store's salt. One that is listed twice counts once."""
        self.newest_first = tuple(Key(secret, salt) for secret in dict.fromkeys(reversed(secrets)))
        self.newest = self.newest_first[0]
        self.fingerprints = [key.fingerprint for key in reversed(self.newest_first)]

    def open_placement_key(self, copies: Mapping[str, str]) -> bytes | None:
        """Return the placement key from its sealed copies, which have the fingerprints as keys; ``None`` if none opens.

        Copies of different placement keys exist where two rings that shared no key have used a store: then that of the
        newest key counts.
        """
        for key in self.newest_first:
            copy = copies.get(key.fingerprint)
            opened = None if copy is None else key.open_placement_key(copy)
            if opened is not None:
                return opened
        return None

    def seal_placement_key(self, placement_key: bytes) -> dict[str, str]:
        """Return a sealed copy of the placement key for each secret key, by fingerprint."""
        return {key.fingerprint: key.seal_placement_key(placement_key) for key in reversed(self.newest_first)}


class Placement:
    """Where the sessions of a subject lie, whatever secret key is the newest."""

    def __init__(self, placement_key: bytes) -> None:
        """Take the placement key of the store, 32 bytes."""
        self._hash = hmac_sha256(placement_key)

    def of(self, subject: str) -> bytes:
        """Return the place that the ids of a subject's sessions share."""
        return self._hash(subject.encode())[:PLACE_BYTES]


def hmac_sha256(key: bytes) -> Callable[[bytes], bytes]:
    """Return HMAC-SHA256 (RFC 2104) under a key of at most 64 bytes.

    Both hash states that depend on the key only are computed once and copied for each message: 0.6 µs in place of the
    1.6 µs of `hmac.digest`.
    """
    padded = key.ljust(_SHA256_BLOCK_BYTES, b"\x00")
    copy_inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded)).copy
    copy_outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded)).copy

    def digest(message: bytes) -> bytes:
        inner, outer = copy_inner(), copy_outer()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()

    return digest


def generate_secret_key() -> str:
    """Return a new secret key: Base64 of 32 bytes from the operating system's CSPRNG."""
    return base64.b64encode(os.urandom(SECRET_KEY_SIZES[0])).decode()


def decode_secret_keys(secret_key: str | Sequence[str]) -> list[bytes]:
    """Return the bytes of one secret key or of several.

    Raises:
        InvalidParameter: empty, or one is not Base64 of an allowed size. The key is not in the message.

    """
    given: object = secret_key  # the type at run time
    if isinstance(given, bytes | bytearray) or not isinstance(given, Iterable):
        raise _wrong_type(given)
    texts = [given] if isinstance(given, str) else list(given)
    if not texts:
        raise InvalidParameter("secret_key", f"secret_key is an empty list; {_RULE}")
    return [_decode(text) for text in texts]


def _decode(text: object) -> bytes:
    if not isinstance(text, str):
        raise _wrong_type(text)
    if not text.strip():
        raise InvalidParameter("secret_key", f"secret_key is blank; {_RULE}")
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidParameter("secret_key", f"{_why_not_base64(text.strip())}; {_RULE}") from None
    if len(secret) not in SECRET_KEY_SIZES:
        raise InvalidParameter("secret_key", f"secret_key decodes to {len(secret)} bytes; {_RULE}")
    if _has_a_pattern(secret):
        raise InvalidParameter("secret_key", f"secret_key is not random: it repeats itself; {_RULE}")
    return secret


def _has_a_pattern(secret: bytes) -> bool:
    """Tell whether a key was typed, such as zeros or a word again and again. Random bytes never look so.

    Of 32 random bytes about 30 differ. Hexadecimal digits, which only have half the entropy, still have 14.
    """
    periods = range(1, len(secret) // 2 + 1)
    return len(set(secret)) < _MIN_DIFFERENT_BYTES or any(secret[size:] == secret[:-size] for size in periods)


def _wrong_type(value: object) -> InvalidType:
    name = type(value).__name__
    return InvalidType("secret_key", f"secret_key must be a str of Base64, or a list of such, not {name}")


def _why_not_base64(text: str) -> str:
    if set(text) & set("-_"):
        return "secret_key is in the URL-safe alphabet; replace '-' with '+' and '_' with '/'"
    if len(text) % 4:
        return "secret_key is not padded Base64; it may be cut off, or lack the '=' at its end"
    return "secret_key is not valid Base64"
