"""An API token by itself: what it says when read, and the form of its text."""

import re
import zlib
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from crudjt import InvalidParameter, InvalidType

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKSUM = 6  # characters: enough for 32 bits in base 62
_TOKEN = 22  # characters: a token of a store
_PREFIX = re.compile(r"[a-z0-9][a-z0-9_]{0,39}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}")  # RFC 6749, 3.3

MAX_NAME = 100
"""The longest name of a token, in characters."""


class ApiToken(NamedTuple):
    """An API token as it was when read, without its text, which the store cannot give again.

    Attributes:
        id: its handle, for `ApiTokens.revoke_id`.
        subject: the id of its user.
        name: the name that tells it from the user's others.
        scopes: what it allows.
        data: what the application stored with it.
        created_at: when it was made, in UTC.
        expires_at: when it ends if it is not used again, in UTC; ``None`` for never.
        last_seen: when it was last used, in UTC, up to a tenth of its idle timeout too early; ``None`` without one.
        bound_to: the JWK thumbprint of the key that has to be proved with it; ``None`` if the token is enough.

    """

    id: str
    subject: str
    name: str
    scopes: frozenset[str]
    data: Mapping[Any, Any]
    created_at: datetime
    expires_at: datetime | None
    last_seen: datetime | None
    bound_to: str | None

    def allows(self, *scopes: str) -> bool:
        """Return whether it has all of these scopes."""
        return self.scopes.issuperset(scopes)

    def __repr__(self) -> str:
        """Name the token without its user and data."""
        return f"<ApiToken {self.id}>"


class TokenForm:
    """The form of the text of a token: a prefix, the token of a store, and a checksum of both."""

    def __init__(self, prefix: str) -> None:
        """Take the prefix, without the '_' behind it."""
        if not isinstance(prefix, str):
            raise InvalidType("prefix", f"prefix must be a str, not {type(prefix).__name__}")
        if not _PREFIX.fullmatch(prefix):
            raise InvalidParameter(
                "prefix", "prefix must be 1 to 40 of a-z, 0-9 and '_', and begin with a letter or digit: 'myapp'"
            )
        self._prefix = f"{prefix}_"

    def text(self, token: str) -> str:
        """Return the text of a token."""
        body = self._prefix + token
        return body + _checksum(body)

    def token(self, text: str) -> str | None:
        """Return the token of a text, ``None`` if its form, prefix or checksum is wrong."""
        if not isinstance(text, str):
            raise InvalidType("text", f"text must be a str, not {type(text).__name__}")
        body, checksum = text[:-_CHECKSUM], text[-_CHECKSUM:]
        if len(body) != len(self._prefix) + _TOKEN or not body.startswith(self._prefix) or not body.isascii():
            return None
        return body[len(self._prefix) :] if checksum == _checksum(body) else None


def checked_name(name: str) -> str:
    """Return a name that a token may have."""
    if not isinstance(name, str):
        raise InvalidType("name", f"name must be a str, not {type(name).__name__}")
    if not 1 <= len(name) <= MAX_NAME:
        raise InvalidParameter("name", f"name must have 1 to {MAX_NAME} characters, not {len(name)}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidParameter("name", "name must be valid Unicode, without a lone surrogate") from None
    return name


def checked_scopes(scopes: Collection[str]) -> list[str]:
    """Return scopes that a token may have, sorted."""
    if isinstance(scopes, str):
        raise InvalidType("scopes", "scopes must be a list or set of texts, not a str: ['mail:read']")
    if not all(isinstance(scope, str) and _SCOPE.fullmatch(scope) for scope in scopes):
        raise InvalidParameter("scopes", "each scope must be 1 to 100 of ASCII's printable characters, without spaces")
    return sorted(set(scopes))


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    return digits
