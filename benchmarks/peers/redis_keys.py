"""Redis as a session store: Debian's server, redis-py with hiredis, appendonly with fsync every second.

One key for each session, with its data as MessagePack: create is one SET, read one GET, update one SET of a key that
exists and keeps its lifetime, delete one DEL, rotate one RENAMENX. A session with a number of reads is a hash, and a
script counts and reads in one step, since two commands could be raced. Sessions of a subject stand in a set, filled in
the same round trip; revoking reads the set and deletes what it names. Tokens are 128 random bits, as frameworks make
them. That is the least work with which Redis does the same; nothing is encrypted at rest. `everysec` may lose up to two
seconds, ours half of one; to return only after a change is on disk, the server is started with `appendfsync always`.
"""

import secrets
from pathlib import Path
from typing import Any

import msgspec
import redis

from benchmarks.payloads import Data
from benchmarks.peers.interface import MAX_READS, TTL, Engine, Place, as_is

SOCKET = "redis.sock"

TAKE_ONE = """
local left = redis.call('HINCRBY', KEYS[1], 'left', -1)
local data = redis.call('HGET', KEYS[1], 'data')
if left <= 0 then redis.call('DEL', KEYS[1]) end
return data
"""


def open_unix(place: Place) -> Engine:
    """Connect through the socket."""
    return _opened(redis.Redis(unix_socket_path=str(Path(place.workspace, SOCKET))))


def open_tcp(place: Place) -> Engine:
    """Connect on loopback."""
    return _opened(redis.Redis(host="127.0.0.1", port=place.port))


def _opened(client: Any) -> Engine:  # noqa: C901 - one short function for each operation
    client.ping()  # connecting is not part of the first operation
    pack, unpack, new_token = msgspec.msgpack.encode, msgspec.msgpack.decode, secrets.token_urlsafe
    take_one = client.register_script(TAKE_ONE)

    def create(data: Data) -> str:
        token = new_token(16)
        client.set(token, pack(data))
        return token

    def create_expiring(data: Data) -> str:
        token = new_token(16)
        client.set(token, pack(data), ex=TTL)
        return token

    def create_owned(data: Data, subject: str) -> str:
        token = new_token(16)
        pipeline = client.pipeline()
        pipeline.set(token, pack(data), ex=TTL)
        pipeline.sadd(subject, token)
        pipeline.execute()
        return token

    def create_limited(data: Data) -> str:
        token = new_token(16)
        client.hset(token, mapping={"data": pack(data), "left": MAX_READS})
        return token

    def read(token: str) -> Any:
        packed = client.get(token)
        return None if packed is None else unpack(packed)

    def read_limited(token: str) -> Any:
        packed = take_one(keys=[token])
        return None if packed is None else unpack(packed)

    def update(token: str, data: Data) -> bool:
        return bool(client.set(token, pack(data), xx=True, keepttl=True))

    def delete(token: str) -> bool:
        return bool(client.delete(token))

    def rotate(token: str) -> str | None:
        fresh = new_token(16)
        return fresh if client.renamenx(token, fresh) else None

    def revoke(subject: str) -> int:
        return int(client.delete(subject, *client.smembers(subject)))

    return Engine(
        create=create,
        read=read,
        data_of=as_is,
        close=client.close,
        update=update,
        delete=delete,
        create_expiring=create_expiring,
        create_owned=create_owned,
        create_limited=create_limited,
        read_limited=read_limited,
        rotate=rotate,
        revoke=revoke,
    )
