"""Secret keys and what is derived from them.

A secret key is Base64 text of 32, 48 or 64 bytes. HKDF-SHA256 (RFC 5869), salted with the store's own salt, turns it
into subkeys of one purpose each. The keys of a ring are ordered oldest to newest: the newest makes tokens, all read.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crudjt._core.tokens import TokenCipher
from crudjt._core.xaes import XAES256GCM
from crudjt.errors import InvalidParameter, InvalidType

SECRET_KEY_SIZES = (32, 48, 64)
SUBJECT_TAG_BYTES = 16
FINGERPRINT_BYTES = 8

_RULE = "a secret key is Base64 of 32, 48 or 64 bytes (to make one: crudjt keygen)"


class Key:
    """The subkeys of one secret key in one store. Never shows what it holds."""

    def __init__(self, secret: bytes, salt: bytes) -> None:
        """Derive every subkey at once."""

        def derive(purpose: str, size: int) -> bytes:
            return HKDF(SHA256(), size, salt, f"crudjt v1 {purpose}".encode()).derive(secret)

        self.tokens = TokenCipher(derive("token", 32))
        self.cipher = XAES256GCM(derive("record", 32))
        self.fingerprint = derive("fingerprint", FINGERPRINT_BYTES).hex()
        self._subject_key = derive("subject", 32)

    def subject_tag(self, subject: str) -> bytes:
        """Return the keyed hash that files a session under its subject."""
        return hmac.digest(self._subject_key, subject.encode(), "sha256")[:SUBJECT_TAG_BYTES]


class Keyring:
    """The keys of an open store."""

    def __init__(self, secrets: Sequence[bytes], salt: bytes) -> None:
        """Take decoded secret keys, oldest to newest, and the store's salt. One that is listed twice counts once."""
        self.newest_first = tuple(Key(secret, salt) for secret in dict.fromkeys(reversed(secrets)))
        self.newest = self.newest_first[0]
        self.fingerprints = [key.fingerprint for key in reversed(self.newest_first)]


def generate_secret_key() -> str:
    """Return a new secret key: Base64 of 32 bytes from the operating system's CSPRNG."""
    return base64.b64encode(os.urandom(SECRET_KEY_SIZES[0])).decode()


def decode_secret_keys(secret_key: str | Sequence[str]) -> list[bytes]:
    """Return the bytes of one secret key or of several.

    Raises:
        InvalidParameter: none is given, or one is not Base64 of an allowed size. The key is not in the message.

    """
    given: object = secret_key  # what a caller really gave
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
    return secret


def _wrong_type(value: object) -> InvalidType:
    name = type(value).__name__
    return InvalidType("secret_key", f"secret_key must be a str of Base64, or a list of such, not {name}")


def _why_not_base64(text: str) -> str:
    if set(text) & set("-_"):
        return "secret_key is in the URL-safe alphabet; replace '-' with '+' and '_' with '/'"
    if len(text) % 4:
        return "secret_key is not padded Base64; it may be cut off, or lack the '=' at its end"
    return "secret_key is not valid Base64"
