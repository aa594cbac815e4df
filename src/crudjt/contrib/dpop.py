"""Tokens that are of use only with a key: proofs of possession by DPoP (RFC 9449), in any store.

```python
import crudjt
from crudjt.contrib.dpop import Dpop

store = crudjt.open("sessions")  # the key is in CRUDJT_SECRET_KEY
dpop = Dpop(store)


def login(proofs: list[str], url: str) -> str:  # the values of each header DPoP of the request, and its URL
    thumbprint = dpop.prove(proofs, "POST", url)  # raises AccessRefused if there is no good proof
    return store.create({}, ttl=3600, subject="alice", bound_to=thumbprint)
```

`prove` accepts a proof once, over all processes and hosts that use the store: its id is kept as a session that can be
made once, for as long as the proof could be used. FastAPI has dependencies in `crudjt.contrib.fastapi_dpop`, and
Django REST framework classes in `crudjt.contrib.rest_framework.dpop`.
"""

from crudjt._core.extras import require_extra

require_extra("dpop")

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Generic, NoReturn
from urllib.parse import urlsplit

from crudjt import AsyncStore, InvalidParameter, InvalidType, Session, Store, TooManySessions
from crudjt._core.clock import Clock, system_clock
from crudjt.contrib._access import DPOP, AccessRefused
from crudjt.contrib._dpop_proof import ALGORITHMS, InvalidProof, Proof, ProofAge, hashed, is_origin, verified
from crudjt.contrib._purposes import AnyStore, Purpose, checked_store

__all__ = ["AccessRefused", "AsyncDpop", "Dpop"]

_logger = logging.getLogger("crudjt.contrib")

_NS = 1_000_000_000
_INVALID_PROOF = "invalid_dpop_proof"
_REPLAYED = "the proof was used before (jti)"
_DAY = 86_400  # seconds
_NONCES = "server"  # the owner of the nonces


class _Dpop(Generic[AnyStore]):
    _kind: type[AnyStore]

    def __init__(
        self,
        store: AnyStore,
        *,
        max_age: float = 60,
        leeway: float = 30,
        require_nonce: bool = False,
        nonce_ttl: float = 300,
        algorithms: Collection[str] = ALGORITHMS,
        origin: str | None = None,
        clock: Clock = system_clock,
    ) -> None:
        """Take an open store, and which proofs are good.

        Args:
            store: keeps the ids of proofs and the nonces, and may keep sessions too.
            max_age: how long ago a proof may have been made, in seconds, by the clock of the client.
            leeway: how far the clock of a client may be ahead, in seconds.
            require_nonce: whether a proof has to have a nonce of this server, which is given on demand. The clocks of
                clients do not count then.
            nonce_ttl: how long a nonce can be used, in seconds.
            algorithms: those that a proof may be signed with.
            origin: the scheme, host and port by which clients know the application: ``"https://api.example.com"``.
                ``None`` for what the framework says of each request, which is a header of the client.
            clock: the time; that of the store.

        Raises:
            InvalidParameter: a parameter is out of range.

        """
        if isinstance(algorithms, str) or not isinstance(algorithms, Iterable):
            raise InvalidType("algorithms", f"algorithms must be a list of texts, not {type(algorithms).__name__}")
        algorithms = tuple(algorithms)
        if not algorithms or any(each not in ALGORITHMS for each in algorithms):
            raise InvalidParameter("algorithms", f"algorithms must be one or more of {', '.join(ALGORITHMS)}")
        for name, seconds in (("max_age", max_age), ("leeway", leeway), ("nonce_ttl", nonce_ttl)):
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _DAY:
                raise InvalidParameter(name, f"{name} must be seconds, above 0 and at most {_DAY}, not {seconds!r}")
        if origin is not None and not is_origin(origin):
            raise InvalidParameter("origin", "origin must be scheme, host and port alone: 'https://api.example.com'")
        self._store: AnyStore = checked_store(store, self._kind)
        self._algorithms = algorithms
        self._origin = origin
        self._clock = clock
        self._age = None if require_nonce else ProofAge(max_age, leeway)
        self._nonce_ttl = nonce_ttl
        self._kept = (nonce_ttl if require_nonce else max_age + leeway) + 1
        self._ids, self._nonces = Purpose("dpop", "id"), Purpose("dpop", "nonce")
        self._nonce = ("", 0)  # what this process gives to clients, and until when

    @property
    def challenge(self) -> str:
        """The parameter that ``WWW-Authenticate: DPoP`` always has: the algorithms that are taken."""
        return f'algs="{" ".join(self._algorithms)}"'

    def _checked(self, proofs: Sequence[str], method: str, url: str, token: str | None, bound_to: str | None) -> Proof:
        """Return the proof of a request, of which only nonce and id are not checked."""
        if len(proofs) != 1:
            problem = "the request needs a header DPoP" if not proofs else "there is more than one header DPoP"
            self._refuse(_INVALID_PROOF, problem, token)
        if self._origin is not None:
            url = self._origin + urlsplit(url).path
        now = self._clock() / _NS
        try:
            proof = verified(
                proofs[0],
                method=method,
                url=url,
                now=now,
                age=self._age,
                algorithms=self._algorithms,
                token=token,
            )
        except InvalidProof as invalid:
            self._refuse(_INVALID_PROOF, str(invalid), token)
        if bound_to is not None and proof.thumbprint != bound_to:
            self._refuse("invalid_token", "the token is bound to another key", token)
        return proof

    def _refuse(self, error: str, description: str, token: str | None, nonce: str | None = None) -> NoReturn:
        """Refuse a proof: with 401 where a token was presented, and 400 where one was to be made."""
        _logger.info("a DPoP proof was refused: %s", description)
        raise AccessRefused(400 if token is None else 401, error, description, scheme=DPOP, nonce=nonce) from None

    def _is_nonce(self, session: Session[Any] | None) -> bool:
        return session is not None and self._nonces.owner_of(session) == _NONCES

    def _note(self, nonce: str) -> str:
        """Return a new nonce, which this process gives to clients for the first half of its life."""
        self._nonce = (nonce, self._clock() + int(self._nonce_ttl * _NS / 2))
        return nonce

    def _new_nonce(self) -> dict[str, Any]:
        """Return the arguments of the call that makes a nonce."""
        return {"data": {}, "ttl": self._nonce_ttl, "subject": self._nonces.owner(_NONCES)}

    def _once(self, proof: Proof) -> dict[str, Any]:
        """Return the arguments of the call that succeeds once for a proof, as long as that can be used."""
        return self._ids.once(hashed(f"{proof.thumbprint} {proof.id}"), self._kept)


class Dpop(_Dpop[Store]):
    """Proofs that are good once, by a `Store`."""

    _kind = Store

    def prove(
        self, proofs: Sequence[str], method: str, url: str, *, token: str | None = None, bound_to: str | None = None
    ) -> str:
        """Return the JWK thumbprint of the key that a request proves to have, for ``create(…, bound_to=…)``.

        Call it once for a request: a second call with the same proof is a replay. Call it last, when the token or the
        password was found to be right: it writes to the store.

        Args:
            proofs: the values of each header ``DPoP`` of the request.
            method: its method.
            url: its URL; query and fragment do not count.
            token: the token that it presents, as in the header; ``None`` where a token is to be made.
            bound_to: the thumbprint that this token is bound to.

        Raises:
            AccessRefused: there is no good proof. `AccessRefused.error` is ``invalid_dpop_proof``, ``use_dpop_nonce``
                with `AccessRefused.nonce`, or ``invalid_token`` for a token that is bound to another key; the status is
                401, or 400 without a token.
            StoreError: the store failed; nothing was proved.

        """
        proof = self._checked(proofs, method, url, token, bound_to)
        if self._age is None and not self._is_nonce(self._store.peek(proof.nonce or "")):
            self._refuse("use_dpop_nonce", "the proof needs a nonce of this server", token, self._given_nonce())
        try:
            self._store.create(**self._once(proof))
        except TooManySessions:
            self._refuse(_INVALID_PROOF, _REPLAYED, token)
        return proof.thumbprint

    def _given_nonce(self) -> str:
        nonce, until = self._nonce
        return nonce if self._clock() < until else self._note(self._store.create(**self._new_nonce()))


class AsyncDpop(_Dpop[AsyncStore]):
    """Proofs that are good once, by an `AsyncStore`. Each method does what that of `Dpop` does."""

    _kind = AsyncStore

    async def prove(
        self, proofs: Sequence[str], method: str, url: str, *, token: str | None = None, bound_to: str | None = None
    ) -> str:
        """Return the JWK thumbprint of the key that a request proves to have; see `Dpop.prove`."""
        proof = self._checked(proofs, method, url, token, bound_to)
        if self._age is None and not self._is_nonce(await self._store.peek(proof.nonce or "")):
            self._refuse("use_dpop_nonce", "the proof needs a nonce of this server", token, await self._given_nonce())
        try:
            await self._store.create(**self._once(proof))
        except TooManySessions:
            self._refuse(_INVALID_PROOF, _REPLAYED, token)
        return proof.thumbprint

    async def _given_nonce(self) -> str:
        nonce, until = self._nonce
        return nonce if self._clock() < until else self._note(await self._store.create(**self._new_nonce()))
