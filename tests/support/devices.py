"""A browser with a device: it keeps cookies, registers a key of P-256 and signs what it is asked to."""

import json
import re
from base64 import urlsafe_b64encode
from http.cookies import SimpleCookie
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tests.support.device_sites import DeviceSite, Reply

_PARAMETER = re.compile(r'(path|challenge|id)="([^"]*)"')


def encoded(value: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    size = (key.curve.key_size + 7) // 8
    x, y = (encoded(number.to_bytes(size, "big")) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": {256: "P-256", 384: "P-384"}[key.curve.key_size], "x": x, "y": y}


def signature(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Return an ES256 signature: two numbers of 32 bytes."""
    return b"".join(
        number.to_bytes(32, "big") for number in decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))
    )


def proof(
    key: ec.EllipticCurvePrivateKey,
    challenge: Any,
    *,
    head: dict[str, Any] | None = None,
    claims: dict[str, Any] | None = None,
    sign: Any = None,
) -> str:
    """Return a JWT; what is given replaces or adds to what a browser sends."""
    parts = [{"typ": "dbsc+jwt", "alg": "ES256"} | (head or {}), {"jti": challenge} | (claims or {})]
    message = ".".join(encoded(json.dumps(part).encode()) for part in parts)
    signed = signature(key, message.encode()) if sign is None else sign(message.encode())
    return f"{message}.{encoded(signed)}"


class DeviceBrowser:
    """A browser of one user at one site."""

    def __init__(self, site: DeviceSite) -> None:
        self.site = site
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cookies: dict[str, str] = {}
        self.offered: dict[str, str] | None = None
        self.identifier = ""
        self.challenge = ""

    def get(self, target: str = "/", **headers: str) -> Reply:
        """Make a request, and keep the cookies and the offer of its answer."""
        return self.send("GET", target, headers)

    def send(self, method: str, target: str, headers: dict[str, str] | None = None) -> Reply:
        given = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if self.cookies:
            given["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        reply = self.site.call(method, target, given)
        for line in reply.cookies:
            [(name, morsel)] = SimpleCookie(line).items()
            if morsel["max-age"] == "0" or "01 Jan 1970" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        offer = reply.header("Secure-Session-Registration")
        self.offered = dict(_PARAMETER.findall(offer)) if offer else self.offered
        challenged = reply.header("Secure-Session-Challenge")
        if challenged:
            self.challenge = challenged.partition('"')[2].partition('"')[0]
        return reply

    def log_in(self, user: str = "ada") -> "DeviceBrowser":
        """Log in and register the device, as a browser does by itself."""
        assert self.get(f"/login?user={user}").status == 200
        reply = self.register()
        assert reply.status == 200, reply
        self.identifier = reply.json["session_identifier"]
        return self

    def register(self, text: str | None = None, **more: Any) -> Reply:
        """Register the key, or send another text in the place of the proof."""
        assert self.offered is not None
        if text is None:
            text = proof(self.key, self.offered["challenge"], head={"jwk": jwk(self.key)}, **more)
        return self.send("POST", self.offered["path"], {"secure_session_response": text})

    def refresh(self, text: str | None = None, **headers: str) -> Reply:
        """Get another bound cookie, with a proof over the challenge that it has."""
        given = {"sec_secure_session_id": self.identifier, "secure_session_response": text or self.signed()} | headers
        return self.send("POST", "/-/device/refresh", given)

    def signed(self) -> str:
        return proof(self.key, self.challenge)

    def without_proof(self) -> "DeviceBrowser":
        """Return another browser that has the token alone, as a thief does."""
        thief = DeviceBrowser(self.site)
        thief.cookies = {self.site.session_cookie: self.cookies[self.site.session_cookie]}
        return thief

    @property
    def token(self) -> str:
        return self.cookies[self.site.session_cookie]

    @property
    def bound(self) -> str | None:
        return self.cookies.get(self.site.bound_cookie)
