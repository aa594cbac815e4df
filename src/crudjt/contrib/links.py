"""Links that work once, for one purpose: to confirm an address, to set a new password, to accept an invitation.

```python
import crudjt
from crudjt.contrib.links import Links

links = Links(crudjt.open("sessions"), purpose="reset-password")  # the key is in CRUDJT_SECRET_KEY
token = links.create("alice")  # goes into the link of the mail
links.look(token)  # when the page is shown: None if it is late or used; looking uses nothing up
granted = links.use(token)  # when the form is sent: once; granted.subject is 'alice'
```

A link never logs anybody in: no adapter takes its token for a session. Use it up when the form is sent, not when the
page is opened: mail scanners open links (OWASP Forgot Password Cheat Sheet).
"""

from typing import Any, Generic

from crudjt import AsyncStore, Store
from crudjt._core.validation import Duration
from crudjt.contrib._purposes import AnyStore, Granted, Purpose, checked_store

__all__ = ["AsyncLinks", "Granted", "Links"]


class _Links(Generic[AnyStore]):
    _kind: type[AnyStore]

    def __init__(self, store: AnyStore, purpose: str, *, ttl: Duration = 3600) -> None:
        """Take an open store, what the links are for, and how long one works.

        Args:
            store: keeps the links, and may keep sessions too.
            purpose: 1 to 40 of a-z, 0-9, '-' and '_'; a link for one purpose is none for another.
            ttl: the lifetime of a link, in seconds or as a `timedelta`.

        Raises:
            InvalidParameter: a parameter is out of range.

        """
        self._store: AnyStore = checked_store(store, self._kind)
        self._purpose = Purpose("link", purpose)
        self._ttl = ttl

    def _new(self, subject: str, data: dict[Any, Any] | None) -> tuple[dict[Any, Any], dict[str, Any]]:
        """Return the arguments of the call that stores a link."""
        limits = {"ttl": self._ttl, "max_reads": 1, "subject": self._purpose.owner(subject), "max_sessions": 1}
        return self._purpose.packed(data), limits


class Links(_Links[Store]):
    """Links for one purpose, in a `Store`."""

    _kind = Store

    def create(self, subject: str, data: dict[Any, Any] | None = None) -> str:
        """Return the token of a new link for a user, which ends the one before it.

        Args:
            subject: the id of the user.
            data: what `look` and `use` return with it.

        """
        packed, limits = self._new(subject, data)
        token: str = self._store.create(packed, **limits)
        return token

    def look(self, token: str) -> Granted | None:
        """Return what a link grants, without using it up.

        ``None`` if it is unknown, late, used or for another purpose.
        """
        return self._purpose.granted(self._store.peek(token))

    def use(self, token: str) -> Granted | None:
        """Use a link up, and return what it grants; ``None`` as in `look`. Of several calls, one is granted.

        A link for another purpose is not used up.
        """
        return None if self.look(token) is None else self._purpose.granted(self._store.read(token))


class AsyncLinks(_Links[AsyncStore]):
    """Links for one purpose, in an `AsyncStore`. Each method does what that of `Links` does."""

    _kind = AsyncStore

    async def create(self, subject: str, data: dict[Any, Any] | None = None) -> str:
        """Return the token of a new link for a user; see `Links.create`."""
        packed, limits = self._new(subject, data)
        token: str = await self._store.create(packed, **limits)
        return token

    async def look(self, token: str) -> Granted | None:
        """Return what a link grants, without using it up; see `Links.look`."""
        return self._purpose.granted(await self._store.peek(token))

    async def use(self, token: str) -> Granted | None:
        """Use a link up, and return what it grants; see `Links.use`."""
        return None if await self.look(token) is None else self._purpose.granted(await self._store.read(token))
