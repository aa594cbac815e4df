"""One-time codes for mail and SMS: a few digits, for one purpose and one user, with an exact number of attempts.

```python
import crudjt
from crudjt.contrib.codes import Codes

codes = Codes(crudjt.open("sessions"), purpose="confirm-mail")  # the key is in CRUDJT_SECRET_KEY
sent = codes.create("alice")  # sent.code, such as '493027', goes into the mail; sent.challenge stays in the browser
granted = codes.check(sent.challenge, sent.code)  # None if it is wrong, late or used; else granted.subject is 'alice'
```

Each attempt is a limited read of the store, so attempts are counted exactly over all processes and hosts. A code is
used once, and ends when the next one for the same user and purpose is made (OWASP ASVS 5.0, V6.5 and V6.6).
"""

import secrets
from hmac import compare_digest
from typing import Any, Generic, NamedTuple

from crudjt import AsyncStore, InvalidType, Session, Store
from crudjt._core.validation import Duration
from crudjt.contrib._purposes import AnyStore, Granted, Purpose, checked_number, checked_store

__all__ = ["AsyncCodes", "Codes", "Granted", "SentCode"]


class SentCode(NamedTuple):
    """A new code, which goes to the user, and its challenge, which stays in the session or the form of the browser."""

    challenge: str
    code: str

    def __repr__(self) -> str:
        """Show neither: both are secret."""
        return "<SentCode>"


class _Codes(Generic[AnyStore]):
    _kind: type[AnyStore]

    def __init__(
        self, store: AnyStore, purpose: str, *, ttl: Duration = 600, attempts: int = 5, digits: int = 6
    ) -> None:
        """Take an open store, what the codes are for, and their limits.

        Args:
            store: keeps the codes, and may keep sessions too.
            purpose: 1 to 40 of a-z, 0-9, '-' and '_'; a code for one purpose is none for another.
            ttl: how long a code can be used, in seconds or as a `timedelta`.
            attempts: how many codes may be tried for a challenge, 1 to 100.
            digits: the length of a code, 6 to 12.

        Raises:
            InvalidParameter: a parameter is out of range.

        """
        self._store: AnyStore = checked_store(store, self._kind)
        self._purpose = Purpose("code", purpose)
        self._digits = checked_number("digits", digits, 6, 12)
        self._limits: dict[str, Any] = {"ttl": ttl, "max_reads": checked_number("attempts", attempts, 1, 100)}

    def _new(self, subject: str, data: dict[Any, Any] | None) -> tuple[str, dict[Any, Any], dict[str, Any]]:
        """Return a code, and the arguments of the call that stores it."""
        code = f"{secrets.randbelow(10**self._digits):0{self._digits}}"
        room = {"subject": self._purpose.owner(subject), "max_sessions": 1}
        return code, self._purpose.packed(data, code=code), {**self._limits, **room}

    def _tried(self, session: Session | None, code: str) -> Granted | None:
        """Return what a code grants, once its attempt is counted."""
        granted = self._purpose.granted(session)
        if granted is None or session is None or not compare_digest(session.data["code"], code):
            return None
        return granted


def _as_typed(code: str) -> str:
    if not isinstance(code, str):
        raise InvalidType("code", f"code must be a str, not {type(code).__name__}")
    digits = "".join(code.split())  # people type '493 027'
    return digits if digits.isascii() else ""


class Codes(_Codes[Store]):
    """Codes for one purpose, in a `Store`."""

    _kind = Store

    def create(self, subject: str, data: dict[Any, Any] | None = None) -> SentCode:
        """Make a code for a user, which ends the one before it.

        Args:
            subject: the id of the user.
            data: what `check` returns with it, such as the address that is confirmed.

        """
        code, packed, limits = self._new(subject, data)
        return SentCode(self._store.create(packed, **limits), code)

    def check(self, challenge: str, code: str) -> Granted | None:
        """Count an attempt, and return what a right code grants.

        ``None`` if it is wrong, late, used, for another purpose, or there were too many attempts. Of several right
        attempts at the same time, one is granted.
        """
        typed = _as_typed(code)
        session = self._store.read(challenge)
        granted = self._tried(session, typed)
        if granted is None or session is None:
            return None
        return granted if session.reads_left == 0 or self._store.delete(challenge) else None


class AsyncCodes(_Codes[AsyncStore]):
    """Codes for one purpose, in an `AsyncStore`. Each method does what that of `Codes` does."""

    _kind = AsyncStore

    async def create(self, subject: str, data: dict[Any, Any] | None = None) -> SentCode:
        """Make a code for a user, which ends the one before it; see `Codes.create`."""
        code, packed, limits = self._new(subject, data)
        return SentCode(await self._store.create(packed, **limits), code)

    async def check(self, challenge: str, code: str) -> Granted | None:
        """Count an attempt, and return what a right code grants; see `Codes.check`."""
        typed = _as_typed(code)
        session = await self._store.read(challenge)
        granted = self._tried(session, typed)
        if granted is None or session is None:
            return None
        return granted if session.reads_left == 0 or await self._store.delete(challenge) else None
