"""A client that makes DPoP proofs by itself, of the primitives of `cryptography` alone."""

import json
import uuid
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from crudjt._core.clock import Clock, system_clock

DROP = object()
"""The value of a claim or a header that a proof is not to have."""


def encoded(part: bytes) -> str:
    return urlsafe_b64encode(part).rstrip(b"=").decode()


def packed(part: object) -> str:
    return encoded(part if isinstance(part, bytes) else json.dumps(part).encode())


class DpopClient:
    """A client with a key."""

    def __init__(self, algorithm: Literal["ES256", "EdDSA"] = "ES256", clock: Clock = system_clock) -> None:
        self.algorithm = algorithm
        self._clock = clock
        if algorithm == "ES256":
            self._elliptic = generate_private_key(SECP256R1())
            point = self._elliptic.public_key().public_numbers()
            x, y = (encoded(number.to_bytes(32, "big")) for number in (point.x, point.y))
            self.jwk = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        else:
            self._edwards = Ed25519PrivateKey.generate()
            self.jwk = {"crv": "Ed25519", "kty": "OKP", "x": encoded(self._edwards.public_key().public_bytes_raw())}

    @property
    def thumbprint(self) -> str:
        """The JWK thumbprint: the members of `jwk` are those that count, in their order."""
        return encoded(sha256(json.dumps(self.jwk, separators=(",", ":")).encode()).digest())

    def sign(self, text: str) -> bytes:
        if self.algorithm == "EdDSA":
            return self._edwards.sign(text.encode())
        r, s = decode_dss_signature(self._elliptic.sign(text.encode(), ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def proof(
        self,
        method: str,
        url: str,
        token: str | None = None,
        *,
        nonce: object = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return a new proof, with other headers and claims as a test wishes."""
        given = {"htm": method, "htu": url, "iat": self._clock() // 10**9, "jti": uuid.uuid4().hex}
        if token is not None:
            given["ath"] = encoded(sha256(token.encode()).digest())
        if nonce is not None:
            given["nonce"] = nonce
        heads = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.jwk}
        parts = [
            packed({name: value for name, value in (own | (other or {})).items() if value is not DROP})
            for own, other in ((heads, header), (given, claims))
        ]
        text = ".".join(parts)
        return f"{text}.{encoded(self.sign(text))}"

    def headers(self, method: str, url: str, token: str, **others: Any) -> dict[str, str]:
        """Return the headers of a request with a token."""
        return {"Authorization": f"DPoP {token}", "DPoP": self.proof(method, url, token, **others)}
