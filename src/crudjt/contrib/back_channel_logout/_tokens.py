"""Logout tokens: their signature, and the claims that OpenID Connect Back-Channel Logout 1.0 demands (section 2.6)."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from crudjt._core.extras import require_extra

require_extra("oidc")

import jwt

from crudjt._core.clock import Clock
from crudjt._core.type_guards import is_mapping
from crudjt.contrib._nesting import is_nested_deeply
from crudjt.errors import CrudjtError, InvalidParameter, InvalidType

EVENT = "http://schemas.openid.net/event/backchannel-logout"
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""The signatures by a key pair: a token that the client secret signs could be made by the application itself."""

MAX_AGE_SECONDS = 120  # section 2.5 recommends that a token lives for two minutes at most
LEEWAY_SECONDS = 60  # between the clocks of provider and application
_FETCH_SECONDS = 5
_PAUSE_SECONDS = 5  # after a fetch that has failed: any stranger's token can ask for the next one
_TYPES = {"logout+jwt", "application/logout+jwt", "jwt"}  # the last by providers that predate the first
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_NS_PER_SECOND = 10**9


class LogoutTokenRefused(CrudjtError):
    """A logout token that ends nothing: malformed, late, used before, or signed by or meant for another party."""


class LogoutToken(NamedTuple):
    """The claims of a logout token that was verified: whose sessions end, or which one, or both."""

    subject: str | None
    sid: str | None
    jti: str


class _Keys(jwt.PyJWKClient):
    """The keys of a provider, fetched when they are needed, and kept."""

    _not_before = 0.0

    def fetch_data(self) -> Any:
        """Fetch the keys.

        Raises:
            PyJWKClientConnectionError: they cannot be fetched, or could not some seconds ago.

        """
        if time.monotonic() < self._not_before:
            raise jwt.PyJWKClientConnectionError("the keys could not be fetched some seconds ago")
        try:
            return super().fetch_data()
        except (
            OSError,
            ValueError,
            RecursionError,
            jwt.PyJWTError,
        ) as error:  # the answer breaks off, or holds no keys
            self._not_before = time.monotonic() + _PAUSE_SECONDS
            raise jwt.PyJWKClientConnectionError("the keys cannot be fetched") from error


class Verifier:
    """Verifies the logout tokens of a provider for one client. Its keys are fetched when they are needed, and kept."""

    def __init__(
        self, *, issuer: str, client_id: str, jwks_uri: str, algorithms: tuple[str, ...], clock: Clock
    ) -> None:
        """Take the provider, the client, the place of the keys, the signatures that are accepted, and the clock."""
        for name, value in (("issuer", issuer), ("client_id", client_id), ("jwks_uri", jwks_uri)):
            if not isinstance(value, str):
                raise InvalidType(name, f"{name} must be a str, not {type(value).__name__}")
            if not value:
                raise InvalidParameter(name, f"{name} must not be empty: take it from the provider's configuration")
        location = urlsplit(jwks_uri)
        if location.scheme != "https" and not (location.scheme == "http" and location.hostname in _LOOPBACK):
            raise InvalidParameter(
                "jwks_uri", "jwks_uri must begin with https://: whoever changes keys on the way can log users out"
            )
        if not algorithms or not ALGORITHMS.issuperset(algorithms):
            raise InvalidParameter(
                "algorithms",
                f"algorithms must name some of {', '.join(sorted(ALGORITHMS))}: RS256 is what most providers use",
            )
        self.issuer = issuer
        self._client_id = client_id
        self._algorithms = list(algorithms)
        self._clock = clock
        self._keys = _Keys(jwks_uri, lifespan=3600, timeout=_FETCH_SECONDS)

    def verify(self, token: str) -> LogoutToken:
        """Return the claims of a logout token. May fetch the provider's keys, which takes up to some seconds.

        Raises:
            LogoutTokenRefused: the token is not one for this client that is valid now.

        """
        return self._checked(self._claims(token))

    def _claims(self, token: str) -> dict[str, Any]:
        if is_nested_deeply(token):
            raise LogoutTokenRefused("its JSON is nested too deeply")
        try:
            header = jwt.get_unverified_header(token)
            if str(header.get("typ", "jwt")).lower() not in _TYPES:
                raise LogoutTokenRefused("its type is not 'logout+jwt'")
            key = self._key(header.get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=self._algorithms,
                audience=self._client_id,
                issuer=self.issuer,
                options={
                    "require": ["iss", "aud", "iat", "exp", "jti", "events"],
                    "verify_exp": False,  # the times are looked at in `_checked`, by our clock
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWKClientConnectionError as error:
            raise LogoutTokenRefused("the keys of the provider cannot be fetched: see jwks_uri") from error
        except (jwt.PyJWTError, RecursionError) as error:  # the second deep in calls
            raise LogoutTokenRefused(_reason(error)) from error
        return claims

    def _key(self, kid: object) -> jwt.PyJWK:
        if isinstance(kid, str):
            return self._keys.get_signing_key(kid)
        keys = self._keys.get_signing_keys()
        if len(keys) != 1:
            raise LogoutTokenRefused("it names no key (kid), and the provider has several")
        return keys[0]

    def _checked(self, claims: Mapping[str, Any]) -> LogoutToken:
        now = self._clock() // _NS_PER_SECOND
        issued, expires = _number(claims, "iat"), _number(claims, "exp")
        if expires <= now - LEEWAY_SECONDS or issued < now - MAX_AGE_SECONDS - LEEWAY_SECONDS:
            raise LogoutTokenRefused("it is too old")
        if issued > now + LEEWAY_SECONDS:
            raise LogoutTokenRefused("it was issued in the future: compare the clocks of both hosts")
        events: Any = claims["events"]
        if not is_mapping(events) or not is_mapping(events.get(EVENT)):
            raise LogoutTokenRefused("its events do not name a back-channel logout")
        if "nonce" in claims:  # else an ID token could be used as one
            raise LogoutTokenRefused("it has a nonce")
        subject, sid, jti = _text(claims, "sub"), _text(claims, "sid"), _text(claims, "jti")
        if subject is None and sid is None:
            raise LogoutTokenRefused("it names neither a user (sub) nor a session (sid)")
        if jti is None:
            raise LogoutTokenRefused("it has no identifier (jti)")
        return LogoutToken(subject, sid, jti)


def _number(claims: Mapping[str, Any], name: str) -> float:
    number = claims[name]
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise LogoutTokenRefused(f"its {name} is not a number")
    return number


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    text = claims.get(name)
    if text is not None and not (isinstance(text, str) and text):
        raise LogoutTokenRefused(f"its {name} is not a text")
    return text


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.InvalidSignatureError, "its signature is wrong"),
    (jwt.InvalidIssuerError, "another provider issued it (iss)"),
    (jwt.InvalidAudienceError, "it is meant for another client (aud)"),
    (jwt.InvalidAlgorithmError, "its signature is of a kind that is not accepted: see algorithms"),
    (jwt.MissingRequiredClaimError, "a claim is missing: iss, aud, iat, exp, jti and events are required"),
    (jwt.PyJWKClientError, "the provider has no such key (kid)"),
)


def _reason(error: Exception) -> str:
    """Return why a library refused a token, without its content."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "it is no signed JWT")
