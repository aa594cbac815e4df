"""diskcache, a dictionary on disk that several processes share (SQLite in WAL mode inside).

Default settings but one: nothing is evicted, since a session must not go because others came (the default would drop
the least recently stored beyond a gigabyte). Values are packed with MessagePack by us, which is faster than its own
pickle. A subject is a tag, with the index that `evict` wants. Where one step reads and writes, `transact` makes it one.
It syncs like SQLite with `synchronous=NORMAL`: a power failure may lose what came last.
"""

import secrets
from pathlib import Path
from typing import Any

import diskcache
import msgspec

from benchmarks.payloads import Data
from benchmarks.peers.interface import MAX_READS, TTL, Engine, Place, as_is


def open_cache(place: Place) -> Engine:  # noqa: C901 - one short function for each operation
    """Open the directory, whoever else has it open."""
    cache = diskcache.Cache(str(Path(place.workspace, "cache")), eviction_policy="none", tag_index=True)
    pack, unpack, new_token = msgspec.msgpack.encode, msgspec.msgpack.decode, secrets.token_urlsafe

    def create(data: Data) -> str:
        token = new_token(16)
        cache.set(token, pack(data))
        return token

    def create_expiring(data: Data) -> str:
        token = new_token(16)
        cache.set(token, pack(data), expire=TTL)
        return token

    def create_owned(data: Data, subject: str) -> str:
        token = new_token(16)
        cache.set(token, pack(data), expire=TTL, tag=subject)
        return token

    def create_limited(data: Data) -> str:
        token = new_token(16)
        cache.set(token, pack([MAX_READS, data]))
        return token

    def read(token: str) -> Any:
        packed = cache.get(token)
        return None if packed is None else unpack(packed)

    def read_limited(token: str) -> Any:
        with cache.transact():
            packed = cache.get(token)
            if packed is None:
                return None
            left, data = unpack(packed)
            if left > 1:
                cache.set(token, pack([left - 1, data]))
            else:
                cache.delete(token)
        return data

    def update(token: str, data: Data) -> bool:
        with cache.transact():
            packed, expires = cache.get(token, expire_time=True)
            if packed is None:
                return False
            cache.set(token, pack(data), expire=expires)
        return True

    def rotate(token: str) -> str | None:
        fresh = new_token(16)
        with cache.transact():
            packed = cache.pop(token)
            if packed is None:
                return None
            cache.set(fresh, packed)
        return fresh

    return Engine(
        create=create,
        read=read,
        data_of=as_is,
        close=cache.close,
        update=update,
        delete=cache.delete,
        create_expiring=create_expiring,
        create_owned=create_owned,
        create_limited=create_limited,
        read_limited=read_limited,
        rotate=rotate,
        revoke=cache.evict,
    )
