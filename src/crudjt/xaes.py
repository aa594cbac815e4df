"""XAES-256-GCM: AES-256-GCM with 192-bit nonces that are safe to draw at random (C2SP, c2sp.org/XAES-256-GCM).

The first half of a nonce derives a key, the second half is the AES-GCM nonce under that key.
"""

from functools import lru_cache

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crudjt.randomness import random_chunk

KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES

_PREFIX_BYTES = 12
_BLOCK_BITS = 128
_DERIVED_KEYS_KEPT = 1024

# SP 800-38D allows 2**32 random nonces under one key. Forked children inherit a prefix and draw fresh second halves:
# at 2**24 each, 256 of them may share it.
_SEALS_PER_PREFIX = 2**24


class XAES256GCM:
    """Seals and opens messages under one 256-bit key."""

    def __init__(self, key: bytes) -> None:
        """Take a key of 32 bytes."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"XAES-256-GCM needs a key of {KEY_BYTES} bytes")
        self._encryptor = Cipher(algorithms.AES256(key), modes.ECB()).encryptor  # noqa: S305 - single blocks, as C2SP has it
        # K1 is the first CMAC subkey of NIST SP 800-38B.
        doubled = int.from_bytes(self._block(bytes(16)), "big") << 1
        if doubled >> _BLOCK_BITS:
            doubled ^= 1 << _BLOCK_BITS | 0x87
        self._k1 = doubled.to_bytes(16, "big")
        self._derived = lru_cache(_DERIVED_KEYS_KEPT)(self._derive)
        self._renew_prefix()

    def encrypt(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """Return ciphertext and tag under a 24-byte nonce that is never used again."""
        return self._derived(nonce[:_PREFIX_BYTES]).encrypt(nonce[_PREFIX_BYTES:], plaintext, associated)

    def decrypt(self, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            cryptography.exceptions.InvalidTag: anything differs from what was sealed.

        """
        return self._derived(nonce[:_PREFIX_BYTES]).decrypt(nonce[_PREFIX_BYTES:], sealed, associated)

    def seal(self, plaintext: bytes, associated: bytes) -> bytes:
        """Return nonce, ciphertext and tag.

        The first half of the nonce is kept for many messages, so that its key is derived once.
        """
        self._seals_left -= 1
        if self._seals_left < 0:
            self._renew_prefix()
        second_half = random_chunk()
        return self._prefix + second_half + self._current.encrypt(second_half, plaintext, associated)

    def _renew_prefix(self) -> None:
        prefix = random_chunk()
        self._prefix, self._current, self._seals_left = prefix, self._derive(prefix), _SEALS_PER_PREFIX

    def _derive(self, prefix: bytes) -> AESGCM:
        first, second = (self._block(_xor(b"\x00" + bytes([n]) + b"X\x00" + prefix, self._k1)) for n in (1, 2))
        return AESGCM(first + second)

    def _block(self, block: bytes) -> bytes:
        return self._encryptor().update(block)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
