"""Slots that move from one primary to another while sessions are used: every answer stays right."""

import pytest

import crudjt
from tests.support.cluster_contents import contents, slot_of_session
from tests.support.processes import eventually
from tests.support.session_load import Load
from tests.support.stores import read
from tests.support.valkey_servers import FAILOVER, Cluster
from tests.support.valkey_stores import OpenOn

pytestmark = pytest.mark.slow


def test_slots_move_under_load(cluster: Cluster, open_on: OpenOn, namespace: str) -> None:
    """Key by key, in the old way: MOVED, ASK and TRYAGAIN are followed, and no call fails."""
    store = open_on(cluster)
    load = Load(store, subjects=20)
    with load.running():
        load.wait_for_calls(500)
        slots = {slot_of_session(session) for n in range(20) for session in store.sessions(f"subject {n}")}
        for slot in sorted(slots)[:15]:
            source = cluster.owner(slot)
            target = next(node for node in cluster.primaries() if node is not source)
            cluster.move_slot(slot, source, target)
            load.wait_for_calls(20)
    assert load.unavailable == 0
    cluster.wait_until_whole()
    load.check(store)
    found = contents(cluster, namespace)
    assert found.differences() == []
    assert found.dangling() == 0


def test_sessions_of_a_slot_that_is_half_moved_are_used(cluster: Cluster, open_on: OpenOn) -> None:
    """Some sessions are at the target, others and the index at the source; a change of both waits for the rest."""
    store, hasty = open_on(cluster), open_on(cluster, timeout=0.5)
    tokens = store.create_many([{"n": number} for number in range(4)], subject="ada")
    slot = slot_of_session(read(store, tokens[0]))
    source = cluster.owner(slot)
    target = next(node for node in cluster.primaries() if node is not source)
    with cluster.moving_slot(slot, source, target) as move_keys:
        move_keys(2, b"s")
        assert [session and session.data["n"] for session in store.read_many(tokens)] == [0, 1, 2, 3]
        assert store.peek(tokens[0]) is not None
        outcomes: set[bool | None] = set()
        for token in tokens:
            try:
                outcomes.add(hasty.update(token, {"n": 9}))
            except crudjt.StoreUnavailable:
                outcomes.add(None)
        assert False not in outcomes
        move_keys(None, b"")
        assert store.delete(tokens[0])
    assert store.peek(tokens[0]) is None
    assert store.revoke("ada") == 3


@pytest.mark.parametrize("dies", ["source", "target"])
def test_a_failover_in_the_middle_of_a_slot_that_moves_hides_and_loses_no_session(
    cluster: Cluster, open_on: OpenOn, namespace: str, dies: str
) -> None:
    """Valkey tells its replicas of the move, so what takes over goes on with it; Redis does not."""
    store = open_on(cluster, endings="interval")
    tokens = store.create_many([{"n": number} for number in range(6)], subject="ada")
    slot = slot_of_session(read(store, tokens[0]))
    source = cluster.owner(slot)
    target = next(node for node in cluster.primaries() if node is not source)
    cluster.begin_move(slot, source, target)
    cluster.move_keys(slot, source, target, 3, b"s")
    cluster.heal()  # the replicas have what there is
    dead = source if dies == "source" else target
    dead.kill()
    successor = cluster.wait_for_failover(dead)
    source, target = (successor if node is dead else node for node in (source, target))
    assert eventually(lambda: answers(store, tokens), FAILOVER)
    assert [session and session.data["n"] for session in store.read_many(tokens)] == list(range(6))
    for number, token in enumerate(tokens):
        assert store.update(token, {"n": -number})
    cluster.end_move(slot, source, target)
    assert [session and session.data["n"] for session in store.read_many(tokens)] == [-n for n in range(6)]
    assert store.delete(tokens[0])
    assert store.revoke("ada") == 5
    found = contents(cluster, namespace)
    assert found.differences() == []
    assert not found.sessions


def answers(store: crudjt.Store, tokens: list[str]) -> bool:
    """Tell whether the store can tell of all sessions."""
    try:
        return bool(store.read_many(tokens))
    except crudjt.StoreUnavailable:
        return False
