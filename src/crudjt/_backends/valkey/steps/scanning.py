"""Look at all keys of a namespace, on all primaries."""

from typing import cast

from crudjt._backends.valkey.requests import PRIMARIES, Ask, Node, Steps

_COUNT = 1000  # keys that a server looks at for each step, which takes it a millisecond


class Scan:
    """A pass over the keys that match a pattern.

    It finds each key that is there during the whole pass, and may find one twice: while a server resizes its table, or
    while a slot is moved between servers.

    Attributes:
        ended: whether all keys were looked at.

    """

    def __init__(self, pattern: bytes) -> None:
        """Take a glob pattern; nothing is sent."""
        self._pattern = pattern
        self._cursors: dict[Node, bytes | int] = {}
        self._begun = False
        self.ended = False

    def step(self) -> Steps[list[bytes]]:
        """Return some keys of each primary, or none: see `ended`."""
        if not self._begun:
            (reply,) = yield [PRIMARIES]
            self._cursors = dict.fromkeys(cast("list[Node]", reply.value), 0)
            self._begun = True
        nodes = list(self._cursors)
        replies = yield [
            Ask(None, (b"SCAN", self._cursors[node], b"MATCH", self._pattern, b"COUNT", _COUNT), node=node)
            for node in nodes
        ]
        found: list[bytes] = []
        for node, reply in zip(nodes, replies, strict=True):
            cursor, keys = cast("tuple[bytes, list[bytes]]", reply.value)
            found += keys
            if cursor == b"0":
                del self._cursors[node]
            else:
                self._cursors[node] = cursor
        self.ended = not self._cursors
        return found
