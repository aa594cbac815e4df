"""Sessions as people write them with redis-py and hiredis: SETEX and GET, its default client, its cluster client.

A session is one key with data as MessagePack and a lifetime; an update is a SETEX, which brings back a session that has
ended since it was read. A rotation reads, writes the new key and deletes the old one. The sessions of a user are in a
set, which keeps those that have ended. A number of reads is a script over a hash. Nothing is sealed, tokens are keys,
and nothing waits for a replica.
"""

import secrets
from typing import Any

import msgspec
import redis
from redis.cluster import RedisCluster

from benchmarks.payloads import Data
from benchmarks.peers.interface import MAX_READS, TTL, Engine, Place, as_is
from benchmarks.peers.redis_keys import TAKE_ONE


def open_sessions(place: Place) -> Engine:  # noqa: C901 - one short function for each operation
    """Connect to the servers."""
    client: Any = (RedisCluster if place.clustered else redis.Redis)(host="127.0.0.1", port=place.port)
    client.ping()  # connecting is not part of the first operation
    pack, unpack, new_token = msgspec.msgpack.encode, msgspec.msgpack.decode, secrets.token_urlsafe
    take_one = client.register_script(TAKE_ONE)
    get_many = client.mget_nonatomic if place.clustered else client.mget

    def key(token: str) -> str:
        return f"session:{token}"

    def create(data: Data) -> str:
        token = new_token(16)
        client.setex(key(token), TTL, pack(data))
        return token

    def create_owned(data: Data, subject: str) -> str:
        token = create(data)
        client.sadd(f"user:{subject}", key(token))
        return token

    def create_limited(data: Data) -> str:
        token = new_token(16)
        client.hset(key(token), mapping={"data": pack(data), "left": MAX_READS})
        return token

    def read(token: str) -> Any:
        packed = client.get(key(token))
        return None if packed is None else unpack(packed)

    def read_limited(token: str) -> Any:
        packed = take_one(keys=[key(token)])
        return None if packed is None else unpack(packed)

    def read_many(tokens: list[str]) -> list[Any]:
        return [packed and unpack(packed) for packed in get_many(map(key, tokens))]

    def update(token: str, data: Data) -> bool:
        return bool(client.setex(key(token), TTL, pack(data)))

    def delete(token: str) -> bool:
        return bool(client.delete(key(token)))

    def rotate(token: str) -> str | None:
        packed = client.get(key(token))
        if packed is None:
            return None
        fresh = new_token(16)
        client.setex(key(fresh), TTL, packed)
        client.delete(key(token))
        return fresh

    def revoke(subject: str) -> int:
        owned = client.smembers(f"user:{subject}")
        return int(client.delete(f"user:{subject}", *owned))

    return Engine(
        create=create,
        read=read,
        data_of=as_is,
        close=client.close,
        update=update,
        delete=delete,
        create_expiring=create,
        create_owned=create_owned,
        create_limited=create_limited,
        read_limited=read_limited,
        rotate=rotate,
        revoke=revoke,
        read_many=read_many,
    )
