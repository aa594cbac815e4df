"""The floor of a store on servers: the commands alone, with valkey-py's clients, as they come.

A create is one EVALSHA of the script that ours runs, with a record that was sealed before; a read one GET; an update
one EVALSHA of the script of ours that compares the nonce and replaces the record; a hundred reads are a pipeline.
Nothing is packed, sealed, decided or asked again.
"""

import os
from typing import Any

import msgspec
from valkey import Valkey
from valkey.cluster import ValkeyCluster

from benchmarks.payloads import Data
from benchmarks.peers.interface import Engine, Place, as_is
from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.scripts import INSERT_ONE, REPLACE_ONE
from crudjt._core.tokens import PLACE

_NONCE = os.urandom(24)
_SEALED_BYTES = 16  # besides the data


def open_commands(place: Place) -> Engine:
    """Connect to the servers."""
    client: Any = (ValkeyCluster if place.clustered else Valkey)(host="127.0.0.1", port=place.port)
    client.ping()
    for script in (INSERT_ONE, REPLACE_ONE):
        client.script_load(script.text)  # to every primary
    layout = Layout("bare")
    session, epoch, execute = layout.session, layout.epoch, client.execute_command
    ids: dict[str, bytes] = {}
    record = b""

    def record_of(data: Data) -> bytes:
        nonlocal record
        if not record:
            size = len(msgspec.msgpack.encode(data))
            record = bytes(64) + _NONCE + os.urandom(size + _SEALED_BYTES)
        return record

    def create(data: Data) -> str:
        id_ = os.urandom(16)
        execute("EVALSHA", INSERT_ONE.sha, 2, session(id_), epoch(id_[PLACE]), record_of(data))
        token = id_.hex()
        ids[token] = id_
        return token

    def read(token: str) -> Any:
        return execute("GET", session(ids[token]))

    def update(token: str, data: Data) -> bool:
        execute("EVALSHA", REPLACE_ONE.sha, 1, session(ids[token]), _NONCE, record_of(data))
        return True

    def read_many(tokens: list[str]) -> list[Any]:
        pipeline = client.pipeline(**({} if place.clustered else {"transaction": False}))
        for token in tokens:
            pipeline.get(session(ids[token]))
        return list(pipeline.execute())

    return Engine(create=create, read=read, data_of=as_is, close=client.close, update=update, read_many=read_many)
