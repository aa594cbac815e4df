"""crudjt from this source tree, opened as the README does.

Nothing is tuned for the measurement: default options, the public methods themselves in the timed loops. A limited read
is a `read` like any other.
"""

import time
from operator import attrgetter
from pathlib import Path

import crudjt
from benchmarks.keys import SECRET_KEY
from benchmarks.payloads import Data
from benchmarks.peers.interface import MAX_READS, TTL, Engine, Place

_POLL_SECONDS = 0.05


def open_store(place: Place) -> Engine:
    """Open the directory, whoever else has it open, or connect to a server."""
    return engine_of(_connected(f"grpc://127.0.0.1:{place.port}") if place.served else _opened(place))


def engine_of(store: crudjt.Store) -> Engine:
    """Return what the timed loops call."""

    def create_expiring(data: Data) -> str:
        return store.create(data, TTL)

    def create_owned(data: Data, subject: str) -> str:
        return store.create(data, TTL, subject=subject)

    def create_limited(data: Data) -> str:
        return store.create(data, max_reads=MAX_READS)

    return Engine(
        create=store.create,
        read=store.read,
        data_of=attrgetter("data"),
        close=store.close,
        update=store.update,
        delete=store.delete,
        create_expiring=create_expiring,
        create_owned=create_owned,
        create_limited=create_limited,
        read_limited=store.read,
        rotate=store.rotate,
        revoke=store.revoke,
    )


def _opened(place: Place) -> crudjt.Store:
    return crudjt.open(
        Path(place.workspace, "store"), secret_key=SECRET_KEY, durability="full" if place.durable else "interval"
    )


def _connected(location: str) -> crudjt.Store:
    """Return when the server answers; whoever runs this process ends a wait in vain."""
    store = crudjt.open(location)
    while not _answers(store):
        time.sleep(_POLL_SECONDS)
    return store


def _answers(store: crudjt.Store) -> bool:
    try:
        store.peek("A" * 22)
    except crudjt.StoreUnavailable:
        return False
    return True
