"""The access tokens of those who may use a server: how they must look, and their file."""

import hmac
from collections.abc import Sequence
from pathlib import Path

from crudjt._filesystem.contents import read_secret_file
from crudjt._rpc.addresses import ACCESS_TOKEN
from crudjt.errors import InvalidParameter, InvalidType

MIN_ACCESS_TOKEN_CHARACTERS = 22  # of Base64: 128 bits and a little
_RULE = (
    f"each must be at least {MIN_ACCESS_TOKEN_CHARACTERS} printable ASCII characters without spaces (to make one: "
    "openssl rand -base64 32)"
)


def checked_access_tokens(access_tokens: Sequence[str]) -> list[bytes]:
    """Return access tokens as bytes, as they are sent.

    Raises:
        InvalidParameter: one is too short, or cannot be sent. The message does not contain it.

    """
    if isinstance(access_tokens, str):
        raise InvalidType("access_tokens", "access_tokens must be a list of str, not a str")
    for token in access_tokens:
        if not isinstance(token, str):
            raise InvalidType("access_tokens", f"access_tokens must be a list of str, and holds {type(token).__name__}")
        if not ACCESS_TOKEN.fullmatch(token):
            raise InvalidParameter("access_tokens", f"access_tokens holds one that is empty or cannot be sent; {_RULE}")
        if len(token) < MIN_ACCESS_TOKEN_CHARACTERS:
            raise InvalidParameter("access_tokens", f"access_tokens holds one of only {len(token)} characters; {_RULE}")
    return [token.encode() for token in access_tokens]


def read_access_tokens(path: Path) -> list[str]:
    """Return the access tokens of a file, one on each line. All are valid, so that they can be replaced one by one.

    Raises:
        InvalidParameter: the file cannot be read, is empty, or holds one that is too short.

    """
    content = read_secret_file("access_token_file", path)
    try:
        tokens = content.decode().split()
    except UnicodeDecodeError:
        raise InvalidParameter("access_token_file", f"access_token_file {path} is not UTF-8 text") from None
    if not tokens:
        raise InvalidParameter("access_token_file", f"access_token_file {path} is empty; write one token on each line")
    checked_access_tokens(tokens)
    return tokens


def matching(given: bytes, expected: Sequence[bytes]) -> int | None:
    """Return the place of an access token among those that are valid, ``None`` if it is none of them.

    It is compared with all, in constant time, so that the time reveals nothing.
    """
    matches = [hmac.compare_digest(given, each) for each in expected]
    return matches.index(True) if any(matches) else None
