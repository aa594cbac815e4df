"""PyJWT with HS256: the data signed into the token, nothing stored.

Create is `encode`, read is `decode` with its check of the signature, and of the lifetime where there is one. Nothing
else exists: a token cannot be changed, ended or counted. It is what to compare with when no session ever has to be
revoked.
"""

import time
from typing import Any

import jwt

from benchmarks.keys import KEY
from benchmarks.payloads import Data
from benchmarks.peers.interface import TTL, Engine, Place, as_is, do_nothing


def open_pyjwt(_place: Place) -> Engine:
    """Return what signs and checks."""

    def create(data: Data) -> str:
        token: str = jwt.encode(data, KEY, algorithm="HS256")
        return token

    def create_expiring(data: Data) -> str:
        token: str = jwt.encode(data | {"exp": int(time.time()) + TTL}, KEY, algorithm="HS256")
        return token

    def read(token: str) -> Any:
        return jwt.decode(token, KEY, algorithms=["HS256"])

    return Engine(create=create, read=read, data_of=as_is, close=do_nothing, create_expiring=create_expiring)
