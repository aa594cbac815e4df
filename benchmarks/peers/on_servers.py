"""crudjt on a Valkey server or cluster: default options, but for `replicas=0` where one server has no replica.

Its records are sealed, tokens are not stored, and in a cluster rotations and revocations wait for every replica.
"""

from dataclasses import replace

import crudjt
from benchmarks.keys import SECRET_KEY
from benchmarks.peers.crudjt_store import engine_of
from benchmarks.peers.interface import Engine, Place


def open_store(place: Place) -> Engine:
    """Connect to the servers."""
    address = f"127.0.0.1:{place.port}"
    if place.clustered:
        store = crudjt.open(f"valkey+cluster://{address}", secret_key=SECRET_KEY)
    else:
        store = crudjt.open(f"valkey://{address}", secret_key=SECRET_KEY, replicas=0)
    return replace(engine_of(store), read_many=store.read_many)
