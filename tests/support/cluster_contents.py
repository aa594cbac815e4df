"""The keys of a store on servers, read without the store, and whether its indexes name its sessions.

The layout of keys is written out here once more, so that a change of it is seen.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import NamedTuple

import crudjt
from tests.support.valkey_servers import Cluster, Node, Servers, slot_of

_ID_BYTES = 16
_TAG = slice(48, 64)  # of a record: the tag of its subject, zeros for none
_NONE = bytes(16)
_HEAD_BYTES = 88  # of a record, before the tags of its labels, whose number is in byte 2
_MAX_LABELS = 8


class Contents(NamedTuple):
    """The sessions of a namespace, by id, with the tags of their subjects and labels; the ids in each index, by tag."""

    sessions: dict[bytes, bytes]
    labels: dict[bytes, list[bytes]]
    indexed: dict[bytes, set[bytes]]
    labelled: dict[bytes, set[bytes]]
    others: set[bytes]

    def differences(self) -> list[str]:
        """Return what is in an index but no session, or the other way round. Members of ended sessions are allowed."""
        missing = [
            f"session {id_.hex()} is in no index of its subject"
            for id_, tag in self.sessions.items()
            if tag != _NONE and id_ not in self.indexed.get(tag, set())
        ]
        strays = [
            f"index {tag.hex()} names {id_.hex()}, which has another subject"
            for tag, ids in self.indexed.items()
            for id_ in ids
            if self.sessions.get(id_, tag) != tag
        ]
        unlabelled = [
            f"session {id_.hex()} is in no index of a label"
            for id_, tags in self.labels.items()
            if not all(id_ in self.labelled.get(tag, set()) for tag in tags)
        ]
        return missing + strays + unlabelled

    def dangling(self) -> int:
        """Return how many members of indexes have no session."""
        return sum(id_ not in self.sessions for ids in self.indexed.values() for id_ in ids)


def contents(servers: Servers, namespace: str) -> Contents:
    """Read every key of a namespace, from the primaries."""
    found = Contents({}, {}, {}, {}, set())
    prefix = f"{namespace}:".encode()
    for node in servers.primaries() if isinstance(servers, Cluster) else servers.nodes[:1]:
        for key in _keys(node, prefix):
            rest = key[len(prefix) :]
            kind, name = rest[5:6], rest[6:]
            if kind == b"s" and len(name) == _ID_BYTES:
                record = node.ask("GETRANGE", key, 0, _HEAD_BYTES + 16 * _MAX_LABELS - 1)
                found.sessions[name] = record[_TAG]
                found.labels[name] = [record[_HEAD_BYTES:][16 * at : 16 * at + 16] for at in range(record[2])]
            elif kind == b"u" and len(name) == _ID_BYTES:
                found.indexed[name] = set(node.ask("ZRANGE", key, 0, -1))
            elif kind == b"l" and len(name) == _ID_BYTES:
                found.labelled[name] = set(node.ask("ZRANGE", key, 0, -1))
            else:
                found.others.add(rest)
    return found


def _keys(node: Node, prefix: bytes) -> Iterable[bytes]:
    cursor = b"0"
    while True:
        cursor, keys = node.ask("SCAN", cursor, "MATCH", prefix + b"*", "COUNT", 1000)
        yield from keys
        if cursor == b"0":
            return


def slot_of_session(session: crudjt.Session) -> int:
    """Return the slot that a session lies in."""
    place = bytes.fromhex(session.id)[8:10]
    return slot_of(b"{" + urlsafe_b64encode(place)[:3] + b"}")
