"""`BackChannelLogout`: ends the sessions that a logout token names, and labels the sessions that it is to find."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Generic

from crudjt import AsyncStore, Store
from crudjt._core.clock import Clock, system_clock
from crudjt._core.event_loops import finish
from crudjt._core.thread_pools import ThreadPools
from crudjt.contrib._purposes import AnyStore, Purpose, checked_store
from crudjt.contrib.back_channel_logout._tokens import (
    LEEWAY_SECONDS,
    MAX_AGE_SECONDS,
    LogoutToken,
    LogoutTokenRefused,
    Verifier,
)
from crudjt.errors import InvalidParameter, TooManySessions

_USED = "it was used before"
_KEPT_SECONDS = MAX_AGE_SECONDS + 2 * LEEWAY_SECONDS + 1  # longer than any token is accepted, by whole seconds

_threads = ThreadPools(4)  # a fetch of keys waits for the provider


class _BackChannelLogout(Generic[AnyStore]):
    _kind: type[AnyStore]

    def __init__(
        self,
        store: AnyStore,
        *,
        issuer: str,
        client_id: str,
        jwks_uri: str,
        algorithms: tuple[str, ...] = ("RS256",),
        clock: Clock = system_clock,
    ) -> None:
        """Take the store of the sessions, and what the provider's configuration says.

        Args:
            store: keeps the sessions, and the identifiers of tokens that were used, for some minutes.
            issuer: who signs: ``issuer`` of the provider's ``/.well-known/openid-configuration``.
            client_id: the name that the provider has given to the application.
            jwks_uri: where the provider publishes its keys: ``jwks_uri`` of the same configuration; https, or http to
                this host. They are fetched at the first token, and again after an hour or for a key that is new.
            algorithms: the signatures that are accepted.
            clock: returns nanoseconds since 1970 UTC.

        Raises:
            InvalidParameter: a parameter is empty or out of range.
            MissingDependency: PyJWT is not installed.

        """
        self._store: AnyStore = checked_store(store, self._kind)
        self._verifier = Verifier(
            issuer=issuer, client_id=client_id, jwks_uri=jwks_uri, algorithms=algorithms, clock=clock
        )
        self._used = Purpose("logout-token", "id")

    def labels(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the labels of a session that begins: give them to `create` or `rotate` at the login.

        Args:
            claims: those of the ID token, which were verified: ``iss``, ``sub``, and ``sid`` if the provider has it.

        Raises:
            InvalidParameter: the claims are of another issuer, or name no user.

        """
        subject, sid = claims.get("sub"), claims.get("sid")
        if claims.get("iss") != self._verifier.issuer:
            raise InvalidParameter("claims", "claims must be of an ID token of the issuer: compare its iss with issuer")
        if not isinstance(subject, str) or not subject:
            raise InvalidParameter("claims", "claims must have the sub of an ID token")
        if not isinstance(sid, str) or not sid:
            return (self._label(subject, None),)
        return self._label(subject, None), self._label(None, sid), self._label(subject, sid)

    def _taking(self, token: LogoutToken) -> dict[str, Any]:
        """Return the arguments of the `create` that succeeds once for a token."""
        return self._used.once(_digest(self._verifier.issuer, token.jti), _KEPT_SECONDS)

    def _label(self, subject: str | None, sid: str | None) -> str:
        """Return the label of all sessions of a user, of one session, or of a session if it is this user's."""
        return f"oidc:{_digest(self._verifier.issuer, subject, sid)}"


class BackChannelLogout(_BackChannelLogout[Store]):
    """Logout by an identity provider, for the sessions of a `Store`."""

    _kind = Store

    def end(self, logout_token: str) -> int:
        """End the sessions that a logout token names, a user's, a login's or both; return how many.

        Raises:
            LogoutTokenRefused: it is not valid for this client now, or was used before. Nothing was changed.
            StoreError: the store failed; the provider may send the same token again.

        """
        token = self._verifier.verify(logout_token)
        try:
            taken = self._store.create(**self._taking(token))
        except TooManySessions:
            raise LogoutTokenRefused(_USED) from None
        try:
            return self._store.revoke(label=self._label(token.subject, token.sid))
        except BaseException:
            self._store.delete(taken)
            raise


class AsyncBackChannelLogout(_BackChannelLogout[AsyncStore]):
    """Logout by an identity provider, for the sessions of an `AsyncStore`."""

    _kind = AsyncStore

    async def end(self, logout_token: str) -> int:
        """End the sessions that a logout token names; see `BackChannelLogout.end`."""
        token = await _threads.run_short(self._verifier.verify, logout_token)
        try:
            taken = await self._store.create(**self._taking(token))
        except TooManySessions:
            raise LogoutTokenRefused(_USED) from None
        try:
            return await self._store.revoke(label=self._label(token.subject, token.sid))
        except BaseException:
            await finish(self._store.delete(taken))  # also where the caller was cancelled
            raise


def _digest(*parts: str | None) -> str:
    """Return a text of one length for texts of any length, of which none can be taken for two others."""
    return sha256(ascii(parts).encode()).hexdigest()
