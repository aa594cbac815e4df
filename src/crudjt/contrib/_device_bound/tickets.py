"""Bound cookies and challenges: a time, authenticated by the secret of a session. Neither is stored.

Both are ``<seconds since 1970>.<HMAC-SHA-256 in base64url>``, of other texts, so that neither passes for the other.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from functools import lru_cache

COOKIE_SECONDS = 600
"""How long a bound cookie is good for."""
CHALLENGE_SECONDS = COOKIE_SECONDS + 300
"""How long a challenge is: the browser keeps the one it got with its last cookie."""
SLACK_SECONDS = 5
"""How far the clocks of two hosts may differ."""

_MACS = 2048  # kept: a browser sends the same cookie with all requests of ten minutes
_FORM = re.compile(r"([0-9]{1,12})\.([A-Za-z0-9_-]{43})", re.ASCII)


def new_cookie(secret: bytes, now: int) -> str:
    """Return the value of a bound cookie."""
    return f"{now}.{_mac(secret, b'b', now)}"


def new_challenge(secret: bytes, now: int) -> str:
    """Return a challenge for the device to sign."""
    return f"{now}.{_mac(secret, b'c', now)}"


def is_cookie(secret: bytes, value: str, now: int) -> bool:
    """Return whether a value is a bound cookie of the session that has not ended."""
    return _holds(secret, b"b", value, now, COOKIE_SECONDS)


def is_challenge(secret: bytes, value: str, now: int) -> bool:
    """Return whether a value is a challenge of the session that is recent."""
    return _holds(secret, b"c", value, now, CHALLENGE_SECONDS)


def _holds(secret: bytes, kind: bytes, value: str, now: int, seconds: int) -> bool:
    parts = _FORM.fullmatch(value)
    if parts is None:
        return False
    made = int(parts[1])
    if not now - seconds <= made <= now + SLACK_SECONDS:
        return False
    return hmac.compare_digest(_mac(secret, kind, made), parts[2])


@lru_cache(_MACS)
def _mac(secret: bytes, kind: bytes, seconds: int) -> str:
    return urlsafe_b64encode(hmac.digest(secret, b"%b|%d" % (kind, seconds), "sha256"))[:-1].decode()
