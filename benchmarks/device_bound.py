"""What a session that is bound to a device costs a request, and what a refresh costs beside the framework.

    python -m benchmarks.device_bound

Requests go through the session middleware in this process, without network: those of an unbound session, those of a
bound one and refreshes take turns in chunks, and of each the fastest counts, as in `benchmarks.guard`. The check is the
difference between the first two. Allowed are 5 µs for it, and 200 µs for a refresh.
"""

import asyncio
import gc
import json
import tempfile
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import crudjt
from crudjt import AsyncStore
from crudjt.aio import wrap
from crudjt.contrib._device_bound.binding import Binding, binding_of, with_binding
from crudjt.contrib._device_bound.tickets import new_challenge, new_cookie
from crudjt.contrib.starlette import SessionMiddleware

_CHUNK = 100
_CHUNKS = 100
_TTL = 3600


class Figures(NamedTuple):
    """Microseconds."""

    unbound: float
    bound: float
    refresh: float

    @property
    def check(self) -> float:
        """What the check of a bound session adds to a request."""
        return self.bound - self.unbound


async def measured(store: AsyncStore) -> Figures:
    """Return the figures with an open store."""
    application = SessionMiddleware(_page, store, subject_key="user", device_bound=True)
    key = ec.generate_private_key(ec.SECP256R1())
    data = {"user": "ada", "cart": [1, 2, 3]}
    unbound = await store.create(data, _TTL, subject="ada")
    public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    binding = Binding(bytes(range(32)), bytes(16), public, int(time.time()))
    bound = await store.create(with_binding(data, binding), _TTL, subject="ada")
    read = await store.read(bound)
    assert read is not None
    assert binding_of(read.data) == binding
    now = int(time.time())
    cookies = f"session={bound}; __Host-session-bound={new_cookie(binding.secret, now)}"
    proof = _proof(key, new_challenge(binding.secret, now))
    scopes = [
        _scope("GET", "/", cookie=f"session={unbound}; other={'x' * 54}"),
        _scope("GET", "/", cookie=cookies),
        _scope(
            "POST",
            "/-/device/refresh",
            **{"cookie": cookies, "sec-secure-session-id": binding.name, "secure-session-response": proof},
        ),
    ]
    best = [float("inf")] * len(scopes)
    gc.disable()
    try:
        for _ in range(_CHUNKS):
            for number, scope in enumerate(scopes):
                best[number] = min(best[number], await _chunk(application, scope))
    finally:
        gc.enable()
    return Figures(*best)


async def _chunk(application: Any, scope: dict[str, Any]) -> float:
    """Return the microseconds of a request."""
    statuses: list[int] = []

    async def send(message: Any) -> None:
        if "status" in message:
            statuses.append(message["status"])

    started = time.perf_counter_ns()
    for _ in range(_CHUNK):
        await application(dict(scope), None, send)
    elapsed = time.perf_counter_ns() - started
    assert statuses == [200] * _CHUNK
    return elapsed / _CHUNK / 1000


async def _page(scope: Any, _receive: Any, send: Any) -> None:
    assert scope["session"]["user"] == "ada"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _scope(method: str, path: str, **headers: str) -> dict[str, Any]:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "scheme": "https", "method": method, "path": path, "headers": encoded}


def _proof(key: ec.EllipticCurvePrivateKey, challenge: str) -> str:
    parts = ({"typ": "dbsc+jwt", "alg": "ES256"}, {"jti": challenge})
    text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
    signed = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(SHA256())))
    return f"{text}.{_encoded(b''.join(number.to_bytes(32, 'big') for number in signed))}"


def _encoded(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as directory:
        store = crudjt.open(Path(directory, "store"), secret_key=crudjt.generate_secret_key())
        with store:
            figures = asyncio.run(measured(wrap(store)))
    print(f"request, unbound   {figures.unbound:7.1f} µs")
    print(f"request, bound     {figures.bound:7.1f} µs: {figures.check:.1f} µs more, allowed are 5")
    print(f"refresh            {figures.refresh:7.1f} µs: allowed are 200")


if __name__ == "__main__":
    main()
