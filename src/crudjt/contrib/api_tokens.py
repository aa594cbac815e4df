"""API tokens of users: named, with scopes, listed and ended one by one, and found by secret scanners.

```python
import crudjt
from crudjt.contrib.api_tokens import ApiTokens

tokens = ApiTokens(crudjt.open("sessions"), prefix="myapp")  # the key is in CRUDJT_SECRET_KEY
text = tokens.create("alice", "laptop", scopes=["mail:read"])  # 'myapp_…', shown once
token = tokens.read(text)  # None if it is unknown, expired or ended; else token.subject is 'alice'
[each.name for each in tokens.of("alice")]  # ['laptop']
```

An API token is no session of a browser: no adapter takes one for the other, and `Store.revoke` of the user leaves API
tokens alone. The text is the prefix, the token and a checksum (CRC-32), so that scanners of source code can tell a
real token from a text that only looks like one, without a call.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Generic

from crudjt import AsyncStore, Session, Store
from crudjt._core.validation import Duration, is_handle
from crudjt.contrib._api_token import ApiToken, TokenForm, checked_name, checked_scopes
from crudjt.contrib._purposes import AnyStore, Purpose, checked_store

__all__ = ["ApiToken", "ApiTokens", "AsyncApiTokens"]

_KEYS = {"name", "scopes", "data"}


class _ApiTokens(Generic[AnyStore]):
    _kind: type[AnyStore]

    def __init__(
        self,
        store: AnyStore,
        prefix: str,
        *,
        ttl: Duration | None = None,
        idle: Duration | None = None,
        max_tokens: int | None = None,
    ) -> None:
        """Take an open store, the prefix of the tokens, and their limits.

        Args:
            store: keeps the tokens, and may keep sessions too.
            prefix: 1 to 40 of a-z, 0-9 and '_'; it begins each token, with '_' behind it. Tokens of another prefix are
                unknown and not listed.
            ttl: the lifetime of a token, in seconds or as a `timedelta`; ``None`` for no end.
            idle: a token ends when it is not used for so long; ``None`` for no such end.
            max_tokens: how many a user may have; ``None`` for any number.

        Raises:
            InvalidParameter: a parameter is out of range.

        """
        self._form = TokenForm(prefix)
        self._store: AnyStore = checked_store(store, self._kind)
        self._purpose = Purpose("api", prefix)
        self._ttl, self._idle, self._max_tokens = ttl, idle, max_tokens

    def _new(
        self,
        subject: str,
        name: str,
        scopes: Collection[str],
        data: dict[Any, Any] | None,
        ttl: Duration | None,
        idle: Duration | None,
        bound_to: str | None,
    ) -> tuple[dict[Any, Any], dict[str, Any]]:
        """Return the arguments of the call that stores a token."""
        packed = self._purpose.packed(data, name=checked_name(name), scopes=checked_scopes(scopes))
        return packed, {
            "ttl": self._ttl if ttl is None else ttl,
            "idle": self._idle if idle is None else idle,
            "subject": self._purpose.owner(subject),
            "max_sessions": self._max_tokens,
            "when_full": "refuse",
            "bound_to": bound_to,
        }

    def _read(self, session: Session | None) -> ApiToken | None:
        """Return the token of a session, ``None`` if that is for another purpose or a login."""
        subject = None if session is None else self._purpose.owner_of(session)
        if session is None or subject is None:
            return None
        data = session.data
        if data.keys() != _KEYS:  # a login under a subject that only looks like ours
            return None
        return ApiToken(
            session.id,
            subject,
            data["name"],
            frozenset(data["scopes"]),
            data["data"],
            session.created_at,
            session.expires_at,
            session.last_seen,
            session.bound_to,
        )


class ApiTokens(_ApiTokens[Store]):
    """API tokens of one prefix, in a `Store`."""

    _kind = Store

    def create(
        self,
        subject: str,
        name: str,
        scopes: Collection[str] = (),
        data: dict[Any, Any] | None = None,
        *,
        ttl: Duration | None = None,
        idle: Duration | None = None,
        bound_to: str | None = None,
    ) -> str:
        """Return the text of a new token. Show it once: the store cannot give it again.

        Args:
            subject: the id of the user.
            name: what the user calls it, 1 to 100 characters; several may have the same name.
            scopes: what it allows, as a list or set of texts without spaces, such as ``mail:read``.
            data: what `ApiToken.data` is to have.
            ttl: its lifetime, in the place of that for all.
            idle: its idle timeout, in the place of that for all.
            bound_to: the JWK thumbprint of the key that has to be proved with it, by ``crudjt.contrib.dpop``. Such a
                token alone opens nothing.

        Raises:
            InvalidParameter: a parameter is out of range.
            TooManySessions: the user has `max_tokens` already.

        """
        packed, limits = self._new(subject, name, scopes, data, ttl, idle, bound_to)
        return self._form.text(self._store.create(packed, **limits))

    def read(self, text: str) -> ApiToken | None:
        """Return a token, and restart its idle timeout; ``None`` if it is unknown, expired, ended or no API token.

        A text whose checksum is wrong reaches no store.
        """
        token = self._form.token(text)
        return None if token is None else self._read(self._store.read(token))

    def peek(self, text: str) -> ApiToken | None:
        """Return what `read` would, without restarting the idle timeout."""
        token = self._form.token(text)
        return None if token is None else self._read(self._store.peek(token))

    def rotate(self, text: str) -> str | None:
        """Return a new text for a token, whose old one is dead from then on; ``None`` as in `read`.

        Name, scopes, data and limits stay; `ApiToken.id` changes.
        """
        if self.peek(text) is None:
            return None
        rotated = self._store.rotate(self._form.token(text) or "")
        return None if rotated is None else self._form.text(rotated)

    def of(self, subject: str) -> list[ApiToken]:
        """Return the live tokens of a user, oldest first, and none of the user's sessions."""
        found = map(self._read, self._store.sessions(self._purpose.owner(subject)))
        return sorted((each for each in found if each is not None), key=_age)

    def delete(self, text: str) -> bool:
        """End a token; return whether there was one."""
        return self.peek(text) is not None and self._store.delete(self._form.token(text) or "")

    def revoke_id(self, id: str, *, subject: str) -> bool:  # noqa: A002 - named as Store.revoke_id is
        """End one token of a user by its `ApiToken.id`; return whether the user had it."""
        return is_handle(id) and self._store.revoke_id(id, subject=self._purpose.owner(subject))

    def revoke(self, subject: str, *, keep: str | None = None) -> int:
        """End all tokens of a user, except that of the text `keep`; return how many were alive."""
        return self._store.revoke(self._purpose.owner(subject), keep=None if keep is None else self._form.token(keep))


class AsyncApiTokens(_ApiTokens[AsyncStore]):
    """API tokens of one prefix, in an `AsyncStore`. Each method does what that of `ApiTokens` does."""

    _kind = AsyncStore

    async def create(
        self,
        subject: str,
        name: str,
        scopes: Collection[str] = (),
        data: dict[Any, Any] | None = None,
        *,
        ttl: Duration | None = None,
        idle: Duration | None = None,
        bound_to: str | None = None,
    ) -> str:
        """Return the text of a new token; see `ApiTokens.create`."""
        packed, limits = self._new(subject, name, scopes, data, ttl, idle, bound_to)
        return self._form.text(await self._store.create(packed, **limits))

    async def read(self, text: str) -> ApiToken | None:
        """Return a token, and restart its idle timeout; see `ApiTokens.read`."""
        token = self._form.token(text)
        return None if token is None else self._read(await self._store.read(token))

    async def peek(self, text: str) -> ApiToken | None:
        """Return what `read` would, without restarting the idle timeout."""
        token = self._form.token(text)
        return None if token is None else self._read(await self._store.peek(token))

    async def rotate(self, text: str) -> str | None:
        """Return a new text for a token; see `ApiTokens.rotate`."""
        if await self.peek(text) is None:
            return None
        rotated = await self._store.rotate(self._form.token(text) or "")
        return None if rotated is None else self._form.text(rotated)

    async def of(self, subject: str) -> list[ApiToken]:
        """Return the live tokens of a user, oldest first, and none of the user's sessions."""
        sessions = [each async for each in self._store.sessions(self._purpose.owner(subject))]
        return sorted((each for each in map(self._read, sessions) if each is not None), key=_age)

    async def delete(self, text: str) -> bool:
        """End a token; return whether there was one."""
        return await self.peek(text) is not None and await self._store.delete(self._form.token(text) or "")

    async def revoke_id(self, id: str, *, subject: str) -> bool:  # noqa: A002 - named as Store.revoke_id is
        """End one token of a user by its `ApiToken.id`; return whether the user had it."""
        return is_handle(id) and await self._store.revoke_id(id, subject=self._purpose.owner(subject))

    async def revoke(self, subject: str, *, keep: str | None = None) -> int:
        """End all tokens of a user, except that of the text `keep`; return how many were alive."""
        return await self._store.revoke(
            self._purpose.owner(subject), keep=None if keep is None else self._form.token(keep)
        )


def _age(token: ApiToken) -> tuple[datetime, str]:
    return token.created_at, token.id
