"""The original engine, crudjt 1.0.1 on PyPI, as its own README starts it.

It has the import name of ours, so it lives in an environment of its own. The first process is the store's master and
works on it directly; every other one has to ask that master over gRPC on loopback, which is how its authors mean it.
It has no subjects and no rotation. Beyond 40,000 tokens it does not cache: the number of operations stays below.
"""

import socket
import time
from operator import itemgetter
from pathlib import Path

import crudjt
from benchmarks.keys import SECRET_KEY
from benchmarks.payloads import Data
from benchmarks.peers.interface import MAX_READS, TTL, Engine, Place

_SETTLING_SECONDS = 2  # it syncs every half second, and there is no way to close it
_POLL_SECONDS = 0.05


def open_original(place: Place) -> Engine:
    """Become the store's master, or connect to it over gRPC."""
    original = crudjt.CRUDJT
    if place.remote:
        _wait_for_server(place.port)
        original.Config.connect_to_master(grpc_host="127.0.0.1", grpc_port=place.port)
        original.read("A" * 22)  # connecting is not part of the first operation
    else:
        store = Path(place.workspace, "store")
        store.mkdir(exist_ok=True)
        original.Config.start_master(secret_key=SECRET_KEY, store_jt_path=str(store), grpc_port=place.port)

    def create_expiring(data: Data) -> str:
        return original.create(data, TTL)

    def create_limited(data: Data) -> str:
        return original.create(data, None, MAX_READS)

    def settle() -> None:
        time.sleep(0 if place.remote else _SETTLING_SECONDS)

    return Engine(
        create=original.create,
        read=original.read,
        data_of=itemgetter("data"),
        close=settle,
        update=original.update,
        delete=original.delete,
        create_expiring=create_expiring,
        create_limited=create_limited,
        read_limited=original.read,
    )


def _wait_for_server(port: int) -> None:
    """Return when something listens; whoever runs this process ends a wait in vain."""
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(_POLL_SECONDS)
