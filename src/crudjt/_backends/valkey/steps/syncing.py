"""Wait until the servers have all earlier changes on disk."""

from collections.abc import Mapping, Sequence
from typing import cast

from crudjt._backends.valkey.checks import fields
from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.requests import PRIMARIES, Ask, Node, Steps
from crudjt._backends.valkey.steps.records import Records
from crudjt._backends.valkey.topology import shards_in, slot_of
from crudjt._core.tokens import PLACE_BYTES

LIMIT = 10.0  # seconds that a driver waits for the steps below; servers sync once a second

_WAIT_MS = 8000  # less than the limit
_PAUSE_MS = 1100  # longer than "appendfsync everysec" waits before it begins a sync
_MAX_PAUSES = 5
_MORE_THAN_THERE_ARE = 10_000  # replicas
_WITH_WAITAOF = (7, 2)  # version of Redis
_NOT_SYNCED = "the servers have not synced their files in time"
_MOVED = "slots were moved between servers"


def sync(records: Records) -> Steps[None]:
    """Write to each primary, and wait until the write is on its disk: then so is all that came before it.

    With `Durability.endings` as many replicas must have it on their disks too, where the servers can tell.

    Raises:
        StoreUnavailable: it was not on disk in time.

    """
    (reply,) = yield [PRIMARIES]
    nodes = cast("list[Node]", reply.value)
    places = yield from _places(records.layout, nodes)
    replies = yield [Ask(None, (b"INFO", b"server"), node=node) for node in nodes]
    if all(_has_waitaof(fields(cast("bytes", reply.value))) for reply in replies):
        yield from _wait_for_disks(records, places)
    else:
        yield from _wait_for_everysec(records, places, nodes)
    if (yield from _places(records.layout, nodes)) != places:
        raise records.unavailable(_MOVED)


def _places(layout: Layout, nodes: Sequence[Node]) -> Steps[list[bytes]]:
    """Return a place on each primary that has any."""
    if len(nodes) == 1:
        return [bytes(PLACE_BYTES)]
    replies = yield [Ask(None, (b"CLUSTER", b"SLOTS"), node=nodes[0])]
    owners: dict[int, Node] = {}
    for shard in shards_in(replies[0].value, nodes[0]):
        if shard.primary is not None:
            owners.update(dict.fromkeys(range(shard.first, shard.last + 1), shard.primary))
    wanted = set(owners.values())
    places: list[bytes] = []
    for number in range(2 ** (8 * PLACE_BYTES)):
        if not wanted:
            break
        place = number.to_bytes(PLACE_BYTES, "big")
        owner = owners.get(slot_of(layout.index(place, b"")))
        if owner in wanted:
            wanted.discard(owner)
            places.append(place)
    return places


def _has_waitaof(info: Mapping[str, str]) -> bool:
    version = info.get("redis_version", "0.0").split(".")
    return "valkey_version" in info or tuple(map(int, version[:2])) >= _WITH_WAITAOF


def _wait_for_disks(records: Records, places: Sequence[bytes]) -> Steps[None]:
    replicas = records.durability.endings
    asks: list[Ask] = []
    for place in places:
        write = records.writing(place, 0)
        # On the connection of the write, since it waits for the writes of its own connection.
        asks += write, Ask(write.key, (b"WAITAOF", 1, replicas, _WAIT_MS))
    replies = yield asks
    for reply in replies[1::2]:
        local, others = cast("list[int]", reply.value)
        if not local or others < replicas:
            raise records.unavailable(_NOT_SYNCED)


def _wait_for_everysec(records: Records, places: Sequence[bytes], nodes: Sequence[Node]) -> Steps[None]:
    """Wait for servers without WAITAOF, until each has begun a sync after the write, and no sync is under way.

    It is in the file once no part of the file is in memory only; a sync begins at most a second later.
    """
    yield [records.writing(place, records.durability.endings) for place in places]
    was_written = False
    for _ in range(_MAX_PAUSES):
        # A WAIT for more replicas than there are is a pause.
        replies = yield [
            ask
            for node in nodes
            for ask in (
                Ask(None, (b"WAIT", _MORE_THAN_THERE_ARE, _PAUSE_MS), node=node),
                Ask(None, (b"INFO", b"persistence"), node=node),
            )
        ]
        infos = [fields(cast("bytes", reply.value)) for reply in replies[1::2]]
        idle = all(each.get("aof_pending_bio_fsync") == each.get("aof_buffer_length") == "0" for each in infos)
        if idle and was_written:
            return
        was_written = idle
    raise records.unavailable(_NOT_SYNCED)
