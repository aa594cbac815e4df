"""The notes in the manifest of a store on servers: of a move to it, and of one from it."""

from typing import cast

import msgspec

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.manifest import (
    MAX_ROUNDS,
    MOVING_FORMAT,
    NO_MANIFEST,
    Departure,
    busy,
    check_arrival,
    decoded,
    exchange,
    holds_keys,
    read_text,
)
from crudjt._backends.valkey.requests import Ask, Steps
from crudjt._core.moves import Identity, OtherMove
from crudjt.errors import StoreCorrupt


def is_destination(location: str, layout: Layout, identity: Identity) -> Steps[bool]:
    """Tell whether the store of a move exists; nothing is made.

    Raises:
        StoreInaccessible: there is another store.
        StoreCorrupt: there are keys, but no manifest.

    """
    (reply,) = yield [Ask(layout.manifest, (b"GET", layout.manifest))]
    text = cast("bytes | None", reply.value)
    if text is None:
        if (yield from holds_keys(layout)):
            raise StoreCorrupt(location, None, NO_MANIFEST)
        return False
    check_arrival(location, decoded(location, text), identity)
    return True


def begin_departure(location: str, layout: Layout, move: bytes, to: str, replicas: int) -> Steps[int]:
    """Note that a move has begun, or that it is taken over; return the epoch.

    Raises:
        OtherMove: a move to another destination has begun.

    """
    for _ in range(MAX_ROUNDS):
        text = yield from read_text(location, layout)
        found = decoded(location, text)
        before = found.departure or Departure(move=move.hex(), epoch=0, location=to)
        if before.move != move.hex():
            raise OtherMove
        departure = msgspec.structs.replace(before, epoch=before.epoch + 1)
        changed = msgspec.structs.replace(found, format=MOVING_FORMAT, departure=departure)
        if (yield from exchange(location, layout, text, msgspec.json.encode(changed), replicas)):
            return departure.epoch
    raise busy(location)


def finish_arrival(location: str, layout: Layout, replicas: int) -> Steps[None]:
    """Note that all sessions of a move have come."""
    for _ in range(MAX_ROUNDS):
        text = yield from read_text(location, layout)
        found = decoded(location, text)
        if found.arrival is None or found.arrival.finished:
            return
        arrival = msgspec.structs.replace(found.arrival, finished=True)
        changed = msgspec.json.encode(msgspec.structs.replace(found, arrival=arrival))
        yield from exchange(location, layout, text, changed, replicas)
    raise busy(location)
