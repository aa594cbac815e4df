"""The map of a cluster, and when it is refreshed."""

import pytest

from crudjt._backends.valkey.requests import Node
from crudjt._backends.valkey.topology import SLOTS, Shard, Topology, redirection, shards_in, slot_of

ASKED = Node("10.0.0.9", 7009)
A, B, C = Node("a", 1), Node("b", 2), Node("c", 3)


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make_topology(time: Time, *, jitter: float = 0.0, clustered: bool = True) -> Topology:
    return Topology([A, B], clustered=clustered, now=time, draw=lambda: jitter)


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 0x31C3),  # the check value of CRC16 in the specification of clusters
        (b"foo", 12182),
        (b"{user1000}.following", 3443),
        (b"x{user1000}y{z}", 3443),
        (b"{}foo", slot_of(b"{}foo")),
        (b"", 0),
    ],
)
def test_slot_of_key_is_that_of_its_hash_tag(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot % SLOTS


def test_empty_braces_are_no_hash_tag() -> None:
    assert slot_of(b"{}foo") != slot_of(b"{}bar")


def test_map_takes_addresses_names_and_ipv6() -> None:
    reply = [
        [0, 99, [b"127.0.0.1", 7000, b"id"], [b"::1", 7003, b"id"]],
        [100, 199, [b"node.example", 7001, b"id", [b"ip", b"10.0.0.1"]]],
    ]
    assert shards_in(reply, ASKED) == [
        Shard(0, 99, Node("127.0.0.1", 7000), (Node("::1", 7003),)),
        Shard(100, 199, Node("node.example", 7001), ()),
    ]


@pytest.mark.parametrize("host", [b"", None])
def test_node_without_a_host_is_the_one_that_was_asked(host: bytes | None) -> None:
    assert shards_in([[0, 5, [host, 7000, b"id"]]], ASKED) == [Shard(0, 5, Node("10.0.0.9", 7000), ())]


def test_node_of_unknown_address_is_left_out() -> None:
    reply = [[0, 5, [b"?", 7000, b"id"], [b"h", 7001, b"id"], [b"?", 7002, b"id"]]]
    assert shards_in(reply, ASKED) == [Shard(0, 5, None, (Node("h", 7001),))]


@pytest.mark.parametrize(
    "reply", [None, 7, [7], [[0, 5]], [[0, 5, []]], [[0, 5, [b"\xff", 1]]], [[0, b"x", [b"h", 1]]]]
)
def test_reply_of_another_form_is_refused(reply: object) -> None:
    with pytest.raises(ValueError):
        shards_in(reply, ASKED)


def test_redirection_names_slot_and_node() -> None:
    assert redirection("3999 127.0.0.1:6381", ASKED) == (3999, Node("127.0.0.1", 6381))
    assert redirection("3999 ::1:6381", ASKED) == (3999, Node("::1", 6381))
    assert redirection("3999 :6381", ASKED) == (3999, Node("10.0.0.9", 6381))
    assert redirection("3999 ?:6381", ASKED) == (3999, None)
    with pytest.raises(ValueError):
        redirection("3999", ASKED)


def test_owner_is_unknown_before_the_first_map_and_of_slots_without_owner() -> None:
    topology = make_topology(Time())
    assert topology.owner(b"foo") is None
    assert topology.any_primary() is None
    topology.learn([Shard(0, 12181, A, (C,)), Shard(12183, SLOTS - 1, B, ())])
    assert topology.owner(b"foo") is None
    assert topology.owner(b"") == A
    assert topology.primaries == (A, B)
    assert topology.replicas == {A: (C,), B: ()}


def test_moved_slot_changes_alone() -> None:
    topology = make_topology(Time())
    topology.learn([Shard(0, SLOTS - 1, A, ())])
    topology.moved(12182, C)
    assert topology.owner(b"foo") == C
    assert topology.owner(b"") == A
    assert topology.primaries == (A, C)


def test_one_server_has_all_slots_and_no_refresh() -> None:
    topology = make_topology(Time(), clustered=False)
    topology.doubt()
    assert topology.owner(b"foo") == A
    assert not topology.doubtful


def test_map_is_refreshed_only_after_a_doubt() -> None:
    topology = make_topology(Time())
    assert topology.begin_refresh()
    topology.learn([Shard(0, SLOTS - 1, A, ())])
    assert not topology.doubtful
    assert not topology.begin_refresh()


def test_map_is_refreshed_by_one_caller_and_at_most_once_a_second() -> None:
    time = Time()
    topology = make_topology(time)
    assert topology.begin_refresh()
    topology.learn([Shard(0, SLOTS - 1, A, ())])
    refreshes = 0
    for _ in range(100):  # 5 seconds
        time.now += 0.05
        topology.doubt()
        refreshes += sum(topology.begin_refresh() for _ in range(16))
    assert refreshes in (4, 5)


def test_refreshes_of_processes_are_spread() -> None:
    time = Time()
    topology = make_topology(time, jitter=0.5)
    topology.learn([Shard(0, SLOTS - 1, A, ())])
    topology.doubt()
    assert not topology.begin_refresh()
    time.now += 0.11
    assert topology.begin_refresh()


def test_map_comes_from_a_known_node_at_random_before_those_of_the_location() -> None:
    draws = iter([0.9, 0.1, 0.5, 0.2])
    topology = Topology([A, B], clustered=True, draw=lambda: next(draws))
    topology.learn([Shard(0, 5, A, (C,))])
    assert topology.sources() == [C, A, B]
