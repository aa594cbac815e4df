"""Tokens and ids.

An id is the key of a session in the store: 8 bytes of nanoseconds, 2 of place and 6 random ones. New ids ascend, so
that the tree grows at its end, in full pages. All sessions of a subject have one place, so that a cluster can keep them
together; without a subject the place is random. A token is the id enciphered with AES-256 as one
block, in URL-safe Base64 (RFC 4648, section 5) without padding, always 22 characters. It looks random, means nothing,
is never stored, and cannot be computed from a stolen store without the secret key.
"""

import threading
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Sequence
from struct import Struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from crudjt._core.process_guard import own_memory, renew
from crudjt._core.random_pool import chunks
from crudjt.errors import InvalidType

ID_BYTES = 16
TOKEN_CHARACTERS = 22
_WIDTH = 18  # bytes that a token takes whose end was filled up
PLACE_BYTES = 2
PLACE = slice(8, 10)
"""Where the place lies in an id."""

# Random bytes are cut to what the format takes.
_pack_id = Struct(">Q8s").pack
_pack_id_at = Struct(">Q2s6s").pack
_MAX_NS = 2**64 - 1
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URL_SAFE = bytes.maketrans(b"-_+/=", b"+/!!!")  # "!" is in no Base64 alphabet
_pop_chunk = chunks.pop
_CANONICAL_ENDS = frozenset("AQgw")  # the last character carries two bits; the other four are zero


def new_id(now_ns: int, place: bytes | None = None) -> bytes:
    """Return an id that sorts after those of earlier times, at a place of 2 bytes or else at a random one."""
    nanoseconds = now_ns if now_ns < _MAX_NS else _MAX_NS  # noqa: FURB136 - min() takes three times as long
    if not own_memory[0]:
        renew()
    try:
        chunk = _pop_chunk()
    except IndexError:
        chunk = chunks.refill()
    if place is None:
        return _pack_id(nanoseconds, chunk)
    return _pack_id_at(nanoseconds, place, chunk)


def random_place() -> bytes:
    """Return a place for sessions without a subject."""
    return chunks.take()[:PLACE_BYTES]


class TokenCipher(threading.local):
    """Turns ids into tokens and back, under one key.

    The two contexts are kept, since making one costs twenty times a block. Each thread has its own: a context may not
    be used by two threads at once. `id` turns the 16 bytes of a token into an id; those of a foreign token give one
    that does not exist.
    """

    def __init__(self, key: bytes) -> None:
        """Take a key of 32 bytes."""
        cipher = Cipher(algorithms.AES256(key), modes.ECB())  # noqa: S305 - one block of 16 unique bytes
        encipher = cipher.encryptor().update

        def token(id_: bytes) -> str:
            return b2a_base64(encipher(id_))[:TOKEN_CHARACTERS].translate(_TO_URL_SAFE).decode()

        self.token: Callable[[bytes], str] = token
        self.id: Callable[[bytes], bytes] = cipher.decryptor().update


def token_blocks(tokens: Sequence[str]) -> list[bytes | None]:
    """Return the result of `token_block` for each token, in a fifth of the time where all are canonical."""
    if set(map(type, tokens)) != {str} or set(map(len, tokens)) != {TOKEN_CHARACTERS}:
        return list(map(token_block, tokens))
    # Each is made 24 characters long, which are 18 bytes: the block, and two that are zero if its end is canonical.
    try:
        joined = a2b_base64("".join([token + "AA" for token in tokens]).encode("latin-1").translate(_FROM_URL_SAFE))
    except (Base64Error, UnicodeEncodeError):
        return list(map(token_block, tokens))
    if len(joined) != _WIDTH * len(tokens) or any(joined[ID_BYTES::_WIDTH]) or any(joined[ID_BYTES + 1 :: _WIDTH]):
        return list(map(token_block, tokens))
    return [joined[at : at + ID_BYTES] for at in range(0, len(joined), _WIDTH)]


def token_block(token: str, parameter: str = "token") -> bytes | None:
    """Decode a token to 16 bytes; ``None`` if it is not canonical base64url.

    Each block has one encoding: other alphabets, padding and stray bits are refused.

    Raises:
        InvalidType: it is not a str.

    """
    if not isinstance(token, str):
        raise InvalidType(
            parameter, f"{parameter} must be a str of {TOKEN_CHARACTERS} characters, not {type(token).__name__}"
        )
    if len(token) != TOKEN_CHARACTERS or token[-1] not in _CANONICAL_ENDS:
        return None
    try:
        block = a2b_base64(token.encode("latin-1").translate(_FROM_URL_SAFE) + b"==")
    except (Base64Error, UnicodeEncodeError):
        return None
    return block if len(block) == ID_BYTES else None  # characters of no alphabet were skipped
