"""An identity provider of the tests: it publishes its keys on loopback, and signs what a test says."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

CLIENT = "shop"
EVENT = "http://schemas.openid.net/event/backchannel-logout"


class IdentityProvider:
    """Its keys are named by what they sign with; `fetches` counts how often somebody asked for them."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.jwks_uri = f"{self.issuer}/jwks"
        self.fetches = 0
        self.fails = False
        self.says: bytes | None = b""  # instead of the keys; ``None`` to break off
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.published: list[dict[str, Any]] = [
            {**RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True), "kid": "rsa", "use": "sig"},
            {**ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True), "kid": "ec", "use": "sig"},
        ]

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return the claims of a right logout token, changed; those that are ``None`` are left out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 120,
            "jti": uuid4().hex,
            "events": {EVENT: {}},
            "sub": "248289",
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, header: dict[str, Any] | None = None, **changed: Any) -> str:
        """Return a right logout token, with other claims and fields of its header."""
        token: str = jwt.encode(
            self.claims(**changed), self.rsa, "RS256", headers={"typ": "logout+jwt", "kid": "rsa", **(header or {})}
        )
        return token


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """Serve the keys of a provider beside the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.fetches += 1
            if provider.says is None:
                return
            self.send_response(500 if provider.fails else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(provider.says or json.dumps({"keys": provider.published}).encode())

        def log_message(self, *_: Any) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = IdentityProvider(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield provider
        server.shutdown()
