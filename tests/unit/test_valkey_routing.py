"""What a driver sends, and sends again, for the requests of a step."""

from typing import Any

import pytest

from crudjt._backends.valkey.replies import ErrorReply
from crudjt._backends.valkey.requests import LOST, PRIMARIES, Ask, Node, Reply, Script
from crudjt._backends.valkey.routing import Batch, Step
from crudjt._backends.valkey.topology import SLOTS, Shard, Topology, slot_of
from crudjt.errors import StoreFull, StoreInaccessible, StoreUnavailable

A, B, C = Node("a", 1), Node("b", 2), Node("c", 3)
LOW, HIGH = b"{b}", b"{a}"  # keys of slots below and above the middle
SCRIPT = Script("return 1")
MIDDLE = SLOTS // 2


@pytest.fixture
def topology() -> Topology:
    made = Topology([A], clustered=True, draw=lambda: 0.0)
    made.learn([Shard(0, MIDDLE - 1, A, ()), Shard(MIDDLE, SLOTS - 1, B, ())])
    assert (made.owner(LOW), made.owner(HIGH)) == (A, B)
    return made


def make_step(topology: Topology, *asks: Ask) -> Step:
    return Step(asks, topology, "valkey+cluster://a:1")


def get(key: bytes, **options: Any) -> Ask:
    return Ask(key, (b"GET", key), **options)


def commands(step: Step) -> dict[Node, list[Any]]:
    return {batch.node: batch.commands for batch in step.batches(1.0)}


def reply(step: Step, *values: Any) -> Batch:
    """Send what is open, which is for one node, and have it replied."""
    [batch] = step.batches(1.0)
    step.received(batch, [ErrorReply(value) if isinstance(value, str) else value for value in values])
    return batch


def test_requests_of_a_node_are_sent_together_and_replies_are_in_order(topology: Topology) -> None:
    step = make_step(topology, get(HIGH), get(LOW), get(HIGH))
    first, second = step.batches(1.0)
    assert (first.node, second.node) == (B, A)
    assert first.commands == [(b"GET", HIGH), (b"GET", HIGH)]
    step.received(second, [b"2"])
    step.received(first, [b"1", None])
    assert step.result() == [Reply(b"1"), Reply(b"2"), Reply(None)]


def test_wait_follows_the_last_request_of_its_node(topology: Topology) -> None:
    step = make_step(topology, Ask(LOW, (1, LOW), SCRIPT, replicas=1), Ask(LOW, (1, LOW), SCRIPT, replicas=2))
    batch = reply(step, b"x", b"y", 2)
    assert [command[0] for command in batch.commands] == [b"EVALSHA", b"EVALSHA", b"WAIT"]
    assert batch.commands[-1][1] == 2
    assert 0 < int(batch.commands[-1][2]) < 1000
    assert step.result() == [Reply(b"x", 2), Reply(b"y", 2)]


def test_text_of_a_script_is_sent_after_noscript_and_its_wait_is_read(topology: Topology) -> None:
    step = make_step(topology, Ask(LOW, (1, LOW), SCRIPT, replicas=1, repeat=False))
    reply(step, "NOSCRIPT No matching script.", 1)
    assert step.pause() == 0
    assert reply(step, b"x", 1).commands[0] == (b"EVAL", SCRIPT.text, 1, LOW)
    assert step.result() == [Reply(b"x", 1)]


def test_moved_request_is_sent_to_its_new_node_and_its_wait_too(topology: Topology) -> None:
    step = make_step(topology, Ask(LOW, (1, LOW), SCRIPT, replicas=1, repeat=False))
    reply(step, f"MOVED {slot_of(LOW)} c:3", 0)
    assert step.pause() == 0
    batch = reply(step, b"x", 1)
    assert batch.node == C
    assert batch.commands[-1][0] == b"WAIT"
    assert step.result() == [Reply(b"x", 1)]
    assert topology.owner(LOW) == C
    assert topology.doubtful


def test_ask_is_followed_once_and_not_learned(topology: Topology) -> None:
    step = make_step(topology, get(LOW))
    reply(step, f"ASK {slot_of(LOW)} c:3")
    batch = reply(step, b"OK", "TRYAGAIN Multiple keys request during rehashing of slot")
    assert (batch.node, batch.commands) == (C, [(b"ASKING",), (b"GET", LOW)])
    assert step.pause() > 0
    assert reply(step, b"1").node == A
    assert step.result() == [Reply(b"1")]
    assert not topology.doubtful


@pytest.mark.parametrize("word", ["TRYAGAIN", "LOADING", "BUSY", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN", "READONLY"])
def test_request_that_was_surely_not_carried_out_is_sent_again_after_a_pause(topology: Topology, word: str) -> None:
    step = make_step(topology, get(LOW, repeat=False))
    reply(step, word)
    assert 0 < step.pause() < 0.2
    reply(step, b"1")
    assert step.result() == [Reply(b"1")]


def test_pauses_grow_to_a_limit(topology: Topology) -> None:
    step = make_step(topology, get(LOW))
    pauses = []
    for _ in range(20):
        reply(step, "LOADING")
        pauses.append(step.pause())
    assert pauses[0] < 0.02
    assert 0.05 <= max(pauses) <= 0.15


def test_circle_of_redirections_is_followed_with_pauses(topology: Topology) -> None:
    step = make_step(topology, get(LOW))
    pauses = []
    for number in range(10):
        reply(step, f"MOVED {slot_of(LOW)} {'cd'[number % 2]}:3")
        pauses.append(step.pause())
    assert pauses[0] == 0
    assert all(pauses[5:])


def test_lost_reply_is_asked_for_again_only_if_that_is_allowed(topology: Topology) -> None:
    step = make_step(topology, get(LOW), get(LOW, repeat=False))
    reply(step)
    assert step.lost
    batch = reply(step, b"1")
    assert batch.commands == [(b"GET", LOW)]
    assert step.result() == [Reply(b"1", repeated=True), Reply(LOST)]


def test_replies_before_a_loss_are_kept(topology: Topology) -> None:
    step = make_step(topology, get(LOW, repeat=False), get(LOW, repeat=False))
    reply(step, b"1")
    assert step.result() == [Reply(b"1"), Reply(LOST)]


def test_reply_without_that_of_its_wait_is_lost(topology: Topology) -> None:
    step = make_step(topology, Ask(LOW, (1, LOW), SCRIPT, replicas=1, repeat=False), get(LOW, repeat=False))
    reply(step, b"x", b"1")
    assert step.result() == [Reply(LOST), Reply(b"1")]


def test_refusal_before_a_loss_is_no_loss(topology: Topology) -> None:
    step = make_step(topology, Ask(LOW, (1, LOW), SCRIPT, replicas=1, repeat=False))
    reply(step, f"MOVED {slot_of(LOW)} c:3")
    assert reply(step, b"x", 1).node == C
    assert step.result() == [Reply(b"x", 1)]


@pytest.mark.parametrize(
    "answer", ["UNBLOCKED instance state changed", "ERR WAIT cannot be used with replica instances."]
)
def test_node_that_becomes_a_replica_during_wait_acknowledges_nothing(topology: Topology, answer: str) -> None:
    step = make_step(topology, Ask(LOW, (1, LOW), SCRIPT, replicas=1))
    reply(step, b"x", answer)
    assert step.result() == [Reply(b"x", 0)]


def test_missing_right_to_wait_is_an_error(topology: Topology) -> None:
    step = make_step(topology, Ask(LOW, (1, LOW), SCRIPT, replicas=1))
    reply(step, b"x", "NOPERM User app has no permissions to run the 'wait' command")
    with pytest.raises(StoreInaccessible, match=r"\+wait"):
        step.result()


def test_first_error_is_raised_when_every_request_has_its_reply(topology: Topology) -> None:
    step = make_step(topology, get(LOW), get(LOW), get(LOW))
    reply(step, "OOM", "LOADING", "ERR other")
    assert step.open == [1]
    reply(step, b"1")
    with pytest.raises(StoreFull):
        step.result()


def test_no_reply_is_never_an_answer(topology: Topology) -> None:
    step = make_step(topology, get(LOW), get(HIGH))
    first, second = step.batches(1.0)
    step.received(first, [b"1"])
    step.not_sent(second, "cannot connect: Connection refused")
    with pytest.raises(StoreUnavailable, match="b:2: cannot connect"):
        step.result()


def test_request_without_a_known_node_stays_open(topology: Topology) -> None:
    topology.learn([Shard(0, MIDDLE - 1, A, ())])
    step = make_step(topology, get(HIGH))
    assert step.batches(1.0) == []
    assert step.open == [0]
    assert topology.doubtful
    with pytest.raises(StoreUnavailable, match="no known node"):
        step.result()


def test_node_that_announces_no_address_is_named_with_a_remedy(topology: Topology) -> None:
    step = make_step(topology, get(LOW))
    reply(step, f"MOVED {slot_of(LOW)} ?:3")
    assert step.pause() > 0
    with pytest.raises(StoreUnavailable, match="cluster-announce-hostname"):
        step.result()


def test_one_server_that_is_a_node_of_a_cluster_is_refused() -> None:
    step = make_step(Topology([A], clustered=False), get(LOW))
    reply(step, f"MOVED {slot_of(LOW)} c:3")
    with pytest.raises(StoreInaccessible, match=r"valkey\+cluster://"):
        step.result()


def test_redirection_of_another_form_is_an_error(topology: Topology) -> None:
    step = make_step(topology, get(LOW))
    reply(step, "MOVED nowhere")
    with pytest.raises(StoreUnavailable, match="MOVED nowhere"):
        step.result()


def test_primaries_are_replied_without_a_trip(topology: Topology) -> None:
    step = make_step(topology, PRIMARIES)
    assert step.batches(1.0) == []
    assert step.open == []
    assert step.result() == [Reply([A, B])]


def test_request_without_a_key_goes_to_a_primary_or_to_the_node_it_names(topology: Topology) -> None:
    assert commands(make_step(topology, Ask(None, (b"TIME",)))) == {A: [(b"TIME",)]}
    assert commands(make_step(topology, Ask(None, (b"TIME",), node=C))) == {C: [(b"TIME",)]}


def test_a_call_that_ends_before_anything_is_sent_says_so(topology: Topology) -> None:
    with pytest.raises(StoreUnavailable, match="the time for the call was over before anything was sent"):
        make_step(topology, get(LOW)).result()


def test_a_call_without_a_map_says_so() -> None:
    step = make_step(Topology([A], clustered=True), get(LOW))
    assert step.batches(1.0) == []
    with pytest.raises(StoreUnavailable, match="no node of the cluster has answered"):
        step.result()
