"""Counters of a store, and the removal of what has expired."""

from collections.abc import Sequence
from typing import cast

from crudjt._backends.valkey.checks import fields
from crudjt._backends.valkey.requests import PRIMARIES, Ask, Node, Steps
from crudjt._backends.valkey.steps.commit_requests import in_places
from crudjt._backends.valkey.steps.fetched import Done, Fetched
from crudjt._backends.valkey.steps.records import Records
from crudjt._backends.valkey.steps.scanning import Scan
from crudjt._core.changes import DELETE, SESSION, Change
from crudjt._core.clock import NS_PER_MS
from crudjt._core.header import has_expired
from crudjt._core.record import NONCE
from crudjt._core.stats import Stats

_GRACE_MS = 60_000  # an index entry is removed so long after its deadline, as the commit script does


def stats(records: Records) -> Steps[Stats]:
    """Return the counters; the sessions are counted, at the pace of some 800,000 keys of a server in a second."""
    scan, sessions = Scan(records.layout.all_sessions), 0
    while not scan.ended:
        sessions += len((yield from scan.step()))
    (reply,) = yield [PRIMARIES]
    nodes = cast("list[Node]", reply.value)
    replies = yield [
        Ask(None, (b"INFO", section), node=node) for node in nodes for section in (b"memory", b"replication")
    ]
    infos = [fields(cast("bytes", reply.value)) for reply in replies]
    memory, replication = infos[::2], infos[1::2]
    limits = [int(each.get("maxmemory", 0)) for each in memory]
    return Stats(
        sessions=sessions,
        memory_bytes=sum(int(each.get("used_memory", 0)) for each in memory),
        max_memory_bytes=sum(limits) if all(limits) else None,
        primaries=len(nodes),
        replicas=sum(int(each.get("connected_slaves", 0)) for each in replication),
    )


def reach_primaries() -> Steps[None]:
    """Find the primaries; the driver checks each before it is used."""
    yield [PRIMARIES]


def sweep(records: Records) -> Steps[int]:
    """Remove expired sessions, and the entries of indexes whose sessions are gone; return how many sessions."""
    swept = 0
    layout = records.layout
    for pattern, clean in (
        (layout.all_sessions, _end_expired),
        (layout.all_indexes, _prune),
        (layout.all_labels, _prune),
    ):
        scan = Scan(pattern)
        while not scan.ended:
            keys = yield from scan.step()
            if keys:
                swept += yield from clean(records, keys)
    return swept


def _end_expired(records: Records, keys: Sequence[bytes]) -> Steps[int]:
    """End those sessions of some keys that have expired, if they are still as they were looked at."""
    replies = yield [Ask(key, (b"GETRANGE", key, 0, NONCE.stop - 1)) for key in keys]
    now_ms = records.clock() // NS_PER_MS
    changes: list[Change] = []
    fetched = Fetched({})
    for key, reply in zip(keys, replies, strict=True):
        id_, head = records.layout.id_of(key), cast("bytes", reply.value)
        if id_ is not None and has_expired(head, now_ms):
            fetched.records[SESSION + id_] = head
            changes.append((DELETE, id_, head))
    if not changes:
        return 0
    # No reply is waited for twice, and no replica: what is left behind is not alive, and the next sweep finds it.
    outcomes = yield from records.commit(in_places(changes), fetched, now_ms, 0, may_be_twice=True)
    return sum(sum(outcome.found) for outcome in outcomes if isinstance(outcome, Done))


def _prune(records: Records, keys: Sequence[bytes]) -> Steps[int]:
    last = records.clock() // NS_PER_MS - _GRACE_MS
    yield [Ask(key, (b"ZREMRANGEBYSCORE", key, b"-inf", last)) for key in keys]
    return 0
