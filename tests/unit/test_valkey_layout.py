"""The names of keys on servers: a place is a hash tag, and the parts of a name can be told apart."""

from crudjt._backends.valkey.layout import Layout
from crudjt._backends.valkey.requests import Node
from crudjt._backends.valkey.topology import SLOTS, Shard, Topology, slot_of

LAYOUT = Layout("app:sessions")
EVERY_PLACE = [number.to_bytes(2, "big") for number in range(2**16)]


def id_at(place: bytes) -> bytes:
    return b"\x00" * 8 + place + b"}{s:u*"


def test_the_keys_of_a_place_share_a_slot() -> None:
    for place in EVERY_PLACE[::997]:
        slots = {slot_of(LAYOUT.session(id_at(place))), slot_of(LAYOUT.index(place, b"{tag}" * 3 + b"!"))}
        assert len(slots) == 1


def test_the_places_are_spread_over_the_slots() -> None:
    slots = {slot_of(LAYOUT.session(id_at(place))) for place in EVERY_PLACE}
    assert len(slots) == 16_382


def test_no_two_places_share_a_name() -> None:
    assert len({LAYOUT.index(place, bytes(16)) for place in EVERY_PLACE}) == len(EVERY_PLACE)


def test_an_id_and_a_tag_are_found_in_the_names_of_their_keys_only() -> None:
    id_, tag = id_at(b"\xff\x00"), bytes(range(16))
    session, index = LAYOUT.session(id_), LAYOUT.index(b"\xff\x00", tag)
    assert LAYOUT.id_of(session) == id_
    assert LAYOUT.tag_of(index) == tag
    assert LAYOUT.tag_of(session) is LAYOUT.id_of(index) is None
    for key in (LAYOUT.manifest, session[:-1], session + b"s", b"", b"app:sessions:{abc}s" + id_):
        assert LAYOUT.id_of(key) is None
        assert LAYOUT.tag_of(key) is None
    assert Layout("app").id_of(session) is None


def test_hash_tags_lie_where_the_layout_says() -> None:
    layout = Layout("name:space")
    keys = layout.sessions([bytes(8) + bytes([number, 7]) + bytes(6) for number in range(200)])
    topology = Topology([Node("a", 1)], clustered=True)
    topology.learn([Shard(slot, slot, Node("a", slot), ()) for slot in range(SLOTS)])
    groups = topology.grouped(keys, layout.tag)
    assert sorted(position for group in groups.values() for position in group) == list(range(200))
    for node, group in groups.items():
        assert {topology.owner(keys[position]) for position in group} == {node}
    topology.moved(slot_of(keys[0]), Node("b", 1))
    assert topology.grouped(keys, layout.tag)[Node("b", 1)][0] == 0
