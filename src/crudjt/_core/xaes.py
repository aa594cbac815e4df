"""XAES-256-GCM: AES-256-GCM with 192-bit nonces that are safe to draw at random (C2SP, c2sp.org/XAES-256-GCM).

The first half of a nonce derives a key, the second half is the AES-GCM nonce under that key. Each process draws a
first half of its own and keeps it for many messages. A second half is 12 random bytes, drawn in advance, XORed with
the time of the message: it stays uniformly random, and a snapshot of the memory that runs twice repeats it only where
both runs seal with the same random bytes in the same nanosecond.
"""

from collections.abc import Callable
from functools import lru_cache
from time import time_ns

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crudjt._core.process_guard import guard, own_memory, renew
from crudjt._core.random_pool import Pool, chunks

KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES

_PREFIX_BYTES = 12
_BLOCK_BITS = 128
_DERIVED_KEYS_KEPT = 1024

# SP 800-38D allows 2**32 random nonces under one key. Threads may come to count a page twice, and copies of a snapshot
# that runs more than once share a prefix: at 2**24 each, 256 of them may.
_SEALS_PER_PREFIX = 2**24


_Encrypt = Callable[[bytes, bytes, bytes], bytes]


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
        self._prefix, self._seals_left = b"", 0
        self._nonces = Pool(self._nonces_of)
        self._pop_nonce = self._nonces.pop
        guard(self)

    def encrypt(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """Return ciphertext and tag under a 24-byte nonce that is never used again."""
        return self._derived(nonce[:_PREFIX_BYTES]).encrypt(nonce[_PREFIX_BYTES:], plaintext, associated)

    def open(self, message: bytes, start: int, associated: bytes) -> bytes:
        """Return the plaintext of nonce, ciphertext and tag, which are all of `message` from `start` on.

        Raises:
            cryptography.exceptions.InvalidTag: anything differs from what was sealed.

        """
        middle, end = start + _PREFIX_BYTES, start + NONCE_BYTES
        derived = self._derived
        return derived(message[start:middle]).decrypt(message[middle:end], message[end:], associated)

    def seal(self, plaintext: bytes, associated: bytes, head: bytes = b"") -> bytes:
        """Return nonce, ciphertext and tag; behind `head`, since one join takes less than two."""
        if not own_memory[0]:
            renew()
        try:
            number, prefix, encrypt = self._pop_nonce()
        except IndexError:
            number, prefix, encrypt = self._nonces.refill()
        try:
            half = (number ^ time_ns()).to_bytes(12, "big")
        except OverflowError:  # before 1970 the time is negative
            half = (number ^ -time_ns()).to_bytes(12, "big")
        return b"".join((head, prefix, half, encrypt(half, plaintext, associated)))

    def leave_to_parent(self) -> None:
        """Draw another first half for the next nonces: the parent goes on with the one it has."""
        self._seals_left = 0

    def _nonces_of(self, random: list[bytes]) -> list[tuple[int, bytes, _Encrypt]]:
        """Return random numbers for second halves, each with the first half to use and the cipher of that."""
        left = self._seals_left - len(random)
        if left < 0:
            left = _SEALS_PER_PREFIX - len(random)
            self._prefix = chunks.take()
        self._seals_left = left  # after the prefix is there: other threads may be here, too
        prefix = self._prefix
        encrypt = self._derived(prefix).encrypt
        return [(int.from_bytes(chunk, "big"), prefix, encrypt) for chunk in random]

    def _derive(self, prefix: bytes) -> AESGCM:
        first, second = (self._block(_xor(b"\x00" + bytes([n]) + b"X\x00" + prefix, self._k1)) for n in (1, 2))
        return AESGCM(first + second)

    def _block(self, block: bytes) -> bytes:
        return self._encryptor().update(block)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
