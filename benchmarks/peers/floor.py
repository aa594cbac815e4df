"""The floor: one LMDB transaction and one AES-GCM call, and nothing that would make a session store of them.

What any design on an encrypted LMDB tree has to pay: pack, seal, one `put` of an ascending key; one `get`, open,
unpack. Same options of the tree as ours, same versions, same process. No log, so nothing survives the next boot; no
header, limits, subjects, cache or token that hides the key; nonces are a counter, which may not be used that way.
"""

import itertools
from pathlib import Path
from typing import Any

import lmdb
import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.keys import KEY
from benchmarks.payloads import Data
from benchmarks.peers.interface import Engine, Place, as_is

_MAP_BYTES = 4 * 1024**3
_NONCE_BYTES = 12


def open_floor(place: Place) -> Engine:
    """Open the tree."""
    env = lmdb.open(str(Path(place.workspace, "floor")), map_size=_MAP_BYTES, sync=False, metasync=False, writemap=True)
    begin, cipher = env.begin, AESGCM(KEY)
    encrypt, decrypt = cipher.encrypt, cipher.decrypt
    pack, unpack = msgspec.msgpack.encode, msgspec.msgpack.decode
    numbers = itertools.count(env.info()["last_txnid"] + 1)

    def put(key: bytes, data: Data) -> None:
        nonce = next(numbers).to_bytes(_NONCE_BYTES, "big")
        sealed = nonce + encrypt(nonce, pack(data), key)
        transaction = begin(None, None, True)  # noqa: FBT003 - keywords cost a tenth of a write
        transaction.put(key, sealed)
        transaction.commit()

    def create(data: Data) -> str:
        token = f"{next(numbers):022}"
        put(token.encode(), data)
        return token

    def read(token: str) -> Any:
        key = token.encode()
        transaction = begin()
        sealed = transaction.get(key)
        transaction.abort()
        return None if sealed is None else unpack(decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], key))

    def update(token: str, data: Data) -> bool:
        put(token.encode(), data)
        return True

    def delete(token: str) -> bool:
        transaction = begin(None, None, True)  # noqa: FBT003 - as above
        deleted: bool = transaction.delete(token.encode())
        transaction.commit()
        return deleted

    return Engine(create=create, read=read, data_of=as_is, close=env.close, update=update, delete=delete)
