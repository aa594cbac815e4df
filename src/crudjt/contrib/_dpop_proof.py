"""DPoP proofs (RFC 9449): from the text of a header to what it proves, without a store and without a clock."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec
from joserfc import jwk, jws
from joserfc.errors import UnsupportedAlgorithmError

from crudjt._core.type_guards import is_dict
from crudjt.contrib._nesting import is_nested_deeply

ALGORITHMS = ("ES256", "ES384", "EdDSA", "Ed25519", "PS256")
"""The algorithms of signatures that are known here, all asymmetric."""

_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
_LEAST_RSA_BITS = 2048  # of a modulus (RFC 7518, 3.5)
_MAX_ID = 256  # characters of `jti`
_FAR = 2**53  # seconds
_PORTS = {"https": 443, "http": 80}


class InvalidProof(Exception):
    """A proof that proves nothing. The message has nothing of the proof in it."""


class Proof(NamedTuple):
    """A proof whose signature, method, URL and token are right. Its time is right too, or given by its nonce.

    Attributes:
        thumbprint: the JWK thumbprint of the key that signed it (RFC 7638).
        id: a text that no other proof has.
        nonce: the nonce in it, not checked; ``None`` if there is none.

    """

    thumbprint: str
    id: str
    nonce: str | None

    def __repr__(self) -> str:
        """Show none of it."""
        return "<Proof>"


class ProofAge(NamedTuple):
    """How old a proof may be, and how far the clock that made it may be ahead, in seconds."""

    max_age: float
    leeway: float


class _Url(NamedTuple):
    """The parts of a URL that count, normalized; the path is decoded, as applications see it."""

    scheme: str
    host: str
    port: int
    path: str


class _Registry(jws.JWSRegistry):
    """The algorithms that are allowed, and sizes: a proof with an RSA key of 4096 bits fits, and little more."""

    max_header_length = 2048
    max_payload_length = 4096

    def get_alg(self, name: str) -> Any:
        """Return an algorithm; without a warning that EdDSA is named Ed25519 by newer clients."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError("the algorithm is not allowed")
        return self.algorithms[name]


def verified(
    text: str,
    *,
    method: str,
    url: str,
    now: float,
    age: ProofAge | None,
    algorithms: Collection[str],
    token: str | None,
) -> Proof:
    """Return a proof that is right for a request.

    Args:
        text: the value of the header ``DPoP``.
        method: the method of the request.
        url: its URL; query and fragment do not count.
        now: the time, in seconds since 1970.
        age: how old it may be; ``None`` where the nonce says that.
        algorithms: those allowed for the signature.
        token: the access token of the request; ``None`` if it came with none.

    Raises:
        InvalidProof: it is not.

    """
    claims, thumbprint = _signed(text, algorithms)
    if claims.get("htm") != method:
        raise InvalidProof("the proof is for another method (htm)")
    _check_url(claims.get("htu"), url)
    _check_time(claims.get("iat"), now, age)
    if token is not None:
        _check_token(claims.get("ath"), token)
    id_, nonce = claims.get("jti"), claims.get("nonce")
    if not isinstance(id_, str) or not 1 <= len(id_) <= _MAX_ID:
        raise InvalidProof(f"the proof has no jti of 1 to {_MAX_ID} characters")
    if nonce is not None and not isinstance(nonce, str):
        raise InvalidProof("the nonce of the proof is no text")
    return Proof(thumbprint, id_, nonce)


def hashed(text: str) -> str:
    """Return the SHA-256 of a text in URL-safe Base64, as RFC 9449 encodes that of a token."""
    return urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()


def is_origin(text: object) -> bool:
    """Return whether a text is the scheme, host and port of an application, and nothing else."""
    url = _normalized(f"{text}/path") if isinstance(text, str) else None
    return url is not None and url.path == "/path"


def _normalized(url: str) -> _Url | None:
    """Return the parts of a URL that count, ``None`` if it is none of HTTP."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        return None
    if scheme not in _PORTS or not host or parts.username is not None:
        return None
    return _Url(scheme, host.lower(), port or _PORTS[scheme], unquote(parts.path) or "/")


def _signed(text: str, algorithms: Collection[str]) -> tuple[dict[str, Any], str]:
    """Return the claims of a proof whose signature is that of the key in it, and the thumbprint of the key."""
    if is_nested_deeply(text):
        raise InvalidProof("the JSON of the proof is nested too deeply")
    registry = _Registry(algorithms=algorithms, strict_check_header=False)  # unknown headers do not count
    try:
        proof = jws.extract_compact(text.encode(), registry=registry)
        key = jwk.import_key(_public_key(proof.headers(), algorithms))
        is_right = jws.validate_compact(proof, key, registry=registry)
        claims = msgspec.json.decode(proof.payload, type=dict[str, Any])
        thumbprint = key.thumbprint()
    except InvalidProof:
        raise
    except Exception:  # noqa: BLE001 - the text is a stranger's: whatever a library says of it, it is no proof
        raise InvalidProof("the proof is malformed") from None
    if not is_right:
        raise InvalidProof("the signature of the proof is wrong")
    return claims, thumbprint


def _public_key(header: Mapping[str, Any], algorithms: Collection[str]) -> dict[str, str | list[str]]:
    """Return the key in the header of a proof."""
    if header.get("typ") != "dpop+jwt":
        raise InvalidProof("the type of the proof is wrong (typ)")
    if header.get("alg") not in algorithms:
        raise InvalidProof("the algorithm of the proof is not allowed (alg)")
    key = header.get("jwk")
    if not is_dict(key) or _PRIVATE & key.keys():
        raise InvalidProof("the proof has no public key (jwk)")
    if key.get("kty") == "RSA" and _number(key.get("n")).bit_length() < _LEAST_RSA_BITS:
        raise InvalidProof(f"the RSA key of the proof has less than {_LEAST_RSA_BITS} bits (jwk)")
    return key  # importing it checks the values


def _number(encoded: object) -> int:
    """Return a number in URL-safe Base64."""
    return int.from_bytes(urlsafe_b64decode(f"{encoded}=="), "big")


def _check_time(made: object, now: float, age: ProofAge | None) -> None:
    if isinstance(made, bool) or not isinstance(made, int | float) or not -_FAR < made < _FAR:
        raise InvalidProof("the proof does not say when it was made (iat)")
    if age is not None and not now - age.max_age <= made <= now + age.leeway:
        raise InvalidProof("the proof was made too long ago, or the clock of the client is wrong (iat)")


def _check_url(claimed: object, url: str) -> None:
    named = _normalized(claimed) if isinstance(claimed, str) else None
    # Dots stay in the path of the request: a server that has left them there finds another resource by it.
    if named is None or named._replace(path=_without_dots(named.path)) != _normalized(url):
        raise InvalidProof("the proof is for another URL (htu)")


def _check_token(claimed: object, token: str) -> None:
    if not isinstance(claimed, str) or not compare_digest(claimed.encode(), hashed(token).encode()):
        raise InvalidProof("the proof is for another token (ath)")


def _without_dots(path: str) -> str:
    """Return a path without its segments '.' and '..' (RFC 3986, 5.2.4)."""
    kept = list[str]()
    *directories, last = path.split("/")
    for segment in directories:
        if segment == ".." and len(kept) > 1:
            kept.pop()
        elif segment not in (".", ".."):
            kept.append(segment)
    if last == ".." and len(kept) > 1:
        kept.pop()
    return "/".join([*kept, "" if last in (".", "..") else last])
