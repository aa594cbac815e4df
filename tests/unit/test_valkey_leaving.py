"""A pass over the sessions of servers, which are to be moved: it finds each that is there all the time."""

from typing import Any, cast

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.requests import PRIMARIES, Ask, Node, Reply
from crudjt._backends.valkey.steps.leaving import Pass
from crudjt._core.record import MIN_RECORD_BYTES

LAYOUT = Layout("app")
NODE = Node("127.0.0.1", 7000)
FIRST, SECOND = (bytes(15) + bytes([number]) for number in (2, 3))
RECORD = b"\1".ljust(MIN_RECORD_BYTES, b"\0")


class _Servers:
    """Primaries that say who owns the slots, and which keys a scan finds, one answer after another."""

    def __init__(self, maps: list[bytes], scans: list[list[bytes]]) -> None:
        self.maps = maps
        self.scans = scans

    def answer(self, ask: Ask) -> Reply:
        if ask is PRIMARIES:
            return Reply([NODE])
        if ask.args[0] == b"CLUSTER":
            return Reply(self.maps.pop(0))
        if ask.args[0] == b"SCAN":
            return Reply(cast("Any", [b"0", [LAYOUT.session(id_) for id_ in self.scans.pop(0)]]))
        return Reply(RECORD)

    def found_by(self, going: Pass) -> set[bytes]:
        """Return the ids that a pass finds."""
        found, at = set[bytes](), True
        while at:
            steps = going.look(10)
            try:
                asks = next(steps)
                while True:
                    asks = steps.send([self.answer(ask) for ask in asks])
            except StopIteration as end:
                found |= {id_ for id_, _ in end.value.items}
                at = end.value.next is not None
        return found


def test_a_pass_ends_when_the_slots_are_where_they_were() -> None:
    servers = _Servers([b"map", b"map"], [[FIRST]])
    assert servers.found_by(Pass(LAYOUT, clustered=True)) == {FIRST}
    assert servers.scans == []


def test_a_pass_is_made_again_when_slots_have_moved() -> None:
    """A session on its way from one server to the other may have been missed."""
    servers = _Servers([b"map", b"other", b"other", b"other"], [[FIRST], [FIRST, SECOND]])
    assert servers.found_by(Pass(LAYOUT, clustered=True)) == {FIRST, SECOND}
    assert not servers.scans


def test_a_pass_over_one_server_asks_for_no_slots() -> None:
    assert _Servers([], [[FIRST, SECOND]]).found_by(Pass(LAYOUT, clustered=False)) == {FIRST, SECOND}
