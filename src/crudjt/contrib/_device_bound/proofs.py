"""Proofs: JWTs that a browser signs with the key of the device, by ES256 (RFC 7515, RFC 7518 section 3.4)."""

import re
from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from crudjt._core.type_guards import is_dict
from crudjt.contrib._nesting import is_nested_deeply

_MAX_CHARACTERS = 4096
_NUMBER_BYTES = 32  # of P-256: a coordinate, or half of a signature
_PART = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_P256 = ec.SECP256R1()
_UNCOMPRESSED = b"\4"  # begins a point that is given by both coordinates (SEC 1, section 2.3.3)
_ES256 = ec.ECDSA(SHA256())


class BadProof(Exception):
    """A proof does not prove what it has to. The text says why and quotes nothing of it."""


class Proof:
    """A proof that was parsed, but whose signature is not verified yet."""

    def __init__(self, text: str) -> None:
        """Parse the value of the header, with or without the quotes of a string.

        Raises:
            BadProof: it is no JWT with ES256 for device bound sessions.

        """
        if len(text) >= 2 and text[0] == text[-1] == '"':  # noqa: PLR2004 - both quotes
            text = text[1:-1]
        if len(text) > _MAX_CHARACTERS:
            raise BadProof("it is too long")
        parts = text.split(".")
        if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
            raise BadProof("it is no JWT")
        if is_nested_deeply(text):
            raise BadProof("its JSON is nested too deeply")
        self._head = _object(parts[0])
        claims = _object(parts[1])
        self._signed = f"{parts[0]}.{parts[1]}".encode("ascii")
        self._signature = _decoded(parts[2])
        if self._head.get("typ") != "dbsc+jwt" or self._head.get("alg") != "ES256" or "crit" in self._head:
            raise BadProof("its header is not that of a proof with ES256")
        challenge = claims.get("jti")
        if not isinstance(challenge, str):
            raise BadProof("it has no challenge")
        self.challenge: str = challenge
        self._audience = claims.get("aud")

    def require_audience(self, path: str) -> None:
        """Raise `BadProof` if it names another endpoint; most browsers name none.

        The host is not compared: behind a proxy, the application may not know by which name it is reached.
        """
        audience = self._audience
        if audience is None:
            return
        try:
            named = urlsplit(audience).path if isinstance(audience, str) else None
        except ValueError:
            named = None
        if named != path:
            raise BadProof("it is for another URL")

    def own_key(self) -> bytes:
        """Return the public key in its header: x and y of a point, 64 bytes.

        Raises:
            BadProof: it has no key of P-256.

        """
        key = self._head.get("jwk")
        if not is_dict(key) or key.get("kty") != "EC" or key.get("crv") != "P-256":
            raise BadProof("it has no key of P-256")
        x, y = _coordinate(key.get("x")), _coordinate(key.get("y"))
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(_P256, _UNCOMPRESSED + x + y)
        except ValueError:
            raise BadProof("its key is no point of the curve") from None
        return x + y

    def verify(self, key: bytes) -> None:
        """Verify the signature with a public key.

        Raises:
            BadProof: it is of another key, or of other bytes.

        """
        if len(self._signature) != 2 * _NUMBER_BYTES:
            raise BadProof("its signature is not of 64 bytes")
        r = int.from_bytes(self._signature[:_NUMBER_BYTES], "big")
        s = int.from_bytes(self._signature[_NUMBER_BYTES:], "big")
        public = ec.EllipticCurvePublicKey.from_encoded_point(_P256, _UNCOMPRESSED + key)
        try:
            public.verify(encode_dss_signature(r, s), self._signed, _ES256)
        except InvalidSignature:
            raise BadProof("its signature is wrong") from None


def _decoded(part: str) -> bytes:
    """Decode base64url without padding."""
    if not _PART.fullmatch(part) or len(part) % 4 == 1:
        raise BadProof("it is not in base64url")
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _object(part: str) -> dict[str, Any]:
    try:
        value: object = msgspec.json.decode(_decoded(part))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise BadProof("it holds no JSON") from None
    if not is_dict(value):
        raise BadProof("it holds no JSON object")
    return value


def _coordinate(value: object) -> bytes:
    number = _decoded(value) if isinstance(value, str) else b""
    if len(number) != _NUMBER_BYTES:
        raise BadProof("a coordinate of its key is not of 32 bytes")
    return number
