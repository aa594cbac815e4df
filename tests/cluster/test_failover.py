"""Nodes that die or pause: what each durability keeps, and that no failure passes for an answer."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import crudjt
from tests.support.cluster_contents import contents, slot_of_session
from tests.support.processes import eventually
from tests.support.session_load import Load
from tests.support.stores import read
from tests.support.valkey_servers import FAILOVER, Cluster, Node
from tests.support.valkey_stores import REPLICATED, OpenOn

pytestmark = pytest.mark.slow

TIMEOUT = 1.0  # of stores that meet a failure; what must succeed is asked of one that waits longer


def create_on(store: crudjt.Store, cluster: Cluster, node: Node, subject: str | None = None) -> str:
    """Create a session that lies on a node, and return its token."""
    for number in range(1000):
        token = store.create({"n": 0}, subject=None if subject is None else f"{subject} {number}")
        if cluster.owner(slot_of_session(read(store, token))) is node:
            return token
    raise AssertionError(f"no session lies on {node}")


def answers(store: crudjt.Store, token: str) -> bool:
    """Tell whether the store can tell anything of a token."""
    try:
        store.peek(token)
    except crudjt.StoreUnavailable:
        return False
    return True


def ends(store: crudjt.Store, tokens: list[str]) -> bool:
    """Tell whether the store has ended sessions."""
    try:
        store.delete_many(tokens)
    except crudjt.StoreUnavailable:
        return False
    return True


def peek_soon(store: crudjt.Store, token: str) -> crudjt.Session | None:
    """Return the session of a token, as soon as a server answers for it."""
    assert eventually(lambda: answers(store, token), FAILOVER)
    return store.peek(token)


@contextmanager
def cut_off(primary: Node, replica: Node) -> Iterator[None]:
    """Keep what a primary writes from its replica, which is paused. Its link is closed, so no socket holds the rest."""
    replica.pause()
    primary.ask("CLIENT", "KILL", "TYPE", "replica")
    try:
        yield
    finally:
        replica.resume()


@pytest.mark.parametrize("durability", ["interval", "replicated", "full"])
def test_a_killed_primary_loses_nothing_that_its_replica_has(
    cluster: Cluster, open_on: OpenOn, namespace: str, durability: str
) -> None:
    """Under load: of what was acknowledged with `replicated` or `full`, all is there; the rest answers, or says not."""
    if durability == "full":
        for node in cluster.nodes:
            node.ask("CONFIG", "SET", "appendfsync", "always")
    store = open_on(cluster, durability=durability, timeout=TIMEOUT)
    load = Load(store)
    with load.running():
        load.wait_for_calls(300)
        old = cluster.primaries()[0]
        old.kill()
        cluster.wait_for_failover(old)
        old.restart()  # or its shard has no replica that could acknowledge
        load.wait_for_calls(600)
    cluster.wait_until_whole()
    load.check(store, lost=durability == "interval")
    assert load.unavailable > 0
    assert contents(cluster, namespace).differences() == []
    for node in cluster.nodes:
        node.ask("CONFIG", "SET", "appendfsync", "everysec")


def test_interval_may_undo_a_revocation_and_replicated_refuses_to_acknowledge_it(
    cluster: Cluster, open_on: OpenOn
) -> None:
    """Deterministic: the replica lacks the last changes when its primary dies."""
    primary = cluster.primaries()[0]
    [replica] = cluster.replicas(primary)
    fast = open_on(cluster, durability="interval", endings="interval")
    safe = open_on(cluster, durability="replicated", timeout=TIMEOUT)
    patient = open_on(cluster, durability="replicated")
    undone, refused = create_on(patient, cluster, primary), create_on(patient, cluster, primary)
    with cut_off(primary, replica):
        assert fast.delete(undone) is True
        with pytest.raises(crudjt.StoreUnavailable, match="0 of 1 replicas"):
            safe.delete(refused)
        primary.kill()
    cluster.wait_for_failover(primary)
    assert peek_soon(fast, undone) is not None
    assert peek_soon(safe, refused) is not None


def test_endings_are_replicated_unless_that_is_lowered(cluster: Cluster, open_on: OpenOn) -> None:
    """With ``durability="interval"`` a create is acknowledged by the primary alone, and a revocation never is."""
    primary = cluster.primaries()[0]
    [replica] = cluster.replicas(primary)
    store, patient = open_on(cluster, timeout=TIMEOUT), open_on(cluster)
    token, other = create_on(patient, cluster, primary, "ada"), create_on(patient, cluster, primary)
    session = read(patient, token)
    assert session.subject is not None
    with cut_off(primary, replica):
        assert patient.update(token, {"n": 1})
        for end in (
            lambda: store.delete(token),
            lambda: store.delete_many([token]),
            lambda: store.revoke_id(session.id),
            lambda: store.revoke(session.subject or ""),
            lambda: store.rotate(other),
        ):
            with pytest.raises(crudjt.StoreUnavailable):
                end()


def test_what_is_gone_already_is_not_acknowledged_before_the_replica_has_it(cluster: Cluster, open_on: OpenOn) -> None:
    """An ending that finds nothing may rest on another's that no replica has yet."""
    primary = cluster.primaries()[0]
    [replica] = cluster.replicas(primary)
    fast = open_on(cluster, endings="interval")
    safe, patient = open_on(cluster, timeout=TIMEOUT), open_on(cluster)
    token = create_on(patient, cluster, primary)
    with cut_off(primary, replica):
        assert fast.delete(token)
        with pytest.raises(crudjt.StoreUnavailable):
            safe.delete(token)
    cluster.wait_until_whole()
    assert patient.delete(token) is False


def test_two_failures_in_a_row_lose_nothing_that_was_acknowledged(
    cluster: Cluster, open_on: OpenOn, namespace: str
) -> None:
    store = open_on(cluster, durability="replicated", timeout=TIMEOUT)
    load = Load(store)
    with load.running():
        first = cluster.primaries()[0]
        for _ in range(2):
            load.wait_for_calls(200)
            first.kill()
            successor = cluster.wait_for_failover(first)
            first.restart()
            cluster.wait_until_whole()
            first = successor
        load.wait_for_calls(200)
    load.check(store)
    assert contents(cluster, namespace).differences() == []


def test_a_primary_that_was_paused_across_a_failover_brings_nothing_back(cluster: Cluster, open_on: OpenOn) -> None:
    """Its late answers belong to calls that have ended: no later read sees a session that was ended."""
    primary = cluster.primaries()[0]
    store = open_on(cluster, endings="interval", timeout=TIMEOUT)  # the new primary has no replica at first
    patient = open_on(cluster)
    tokens = [create_on(patient, cluster, primary) for _ in range(4)]
    ended = threading.Event()
    stop = threading.Event()
    stale: list[str] = []

    def look(token: str) -> None:
        while not stop.is_set():
            was_ended = ended.is_set()
            try:
                found = store.peek(token)
            except crudjt.StoreUnavailable:
                continue
            if was_ended and found is not None:
                stale.append(token)

    threads = [threading.Thread(target=look, args=(token,)) for token in tokens for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        primary.pause()
        cluster.wait_for_failover(primary)
        assert eventually(lambda: ends(store, tokens), FAILOVER)
        ended.set()
        primary.resume()
        time.sleep(1.0)  # it learns that it has been replaced
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert stale == []
    assert patient.read_many(tokens) == [None] * len(tokens)


def test_a_paused_primary_acknowledges_nothing(cluster: Cluster, open_on: OpenOn) -> None:
    """A write that waits in the socket of a primary when it is replaced is lost, and was never acknowledged."""
    primary = cluster.primaries()[0]
    store = open_on(cluster, durability="replicated", timeout=0.5)
    token = create_on(open_on(cluster, **REPLICATED), cluster, primary)
    primary.pause()
    with pytest.raises(crudjt.StoreUnavailable):
        store.update(token, {"n": 1})
    cluster.wait_for_failover(primary)
    primary.resume()
    cluster.wait_until_whole()
    found = peek_soon(store, token)
    assert found is not None
    assert found.data == {"n": 0}


def test_two_of_three_primaries_gone_is_unavailable_and_never_no_such_session(
    cluster: Cluster, open_on: OpenOn
) -> None:
    store, patient = open_on(cluster, timeout=0.5), open_on(cluster)
    tokens = [create_on(patient, cluster, primary) for primary in cluster.primaries()]
    gone = cluster.primaries()[:2]
    for primary in gone:
        primary.pause()
    last = cluster.primaries(seen_by=next(n for n in cluster.nodes if n not in gone))[-1]
    assert eventually(lambda: last.info("CLUSTER", "INFO")["cluster_state"] == "fail", FAILOVER)
    for token in tokens:
        for call in (store.peek, store.read, store.delete, store.rotate):
            with pytest.raises(crudjt.StoreUnavailable):
                call(token)
    with pytest.raises(crudjt.StoreUnavailable):
        store.read_many(tokens)
    for primary in gone:
        primary.resume()
    cluster.wait_until_whole()
    assert all(peek_soon(store, token) for token in tokens)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with two replicas of each primary."""
    with Cluster(tmp_path / "c", replicas=2, cluster_node_timeout="1000") as cluster:
        yield cluster


def test_one_acknowledgement_does_not_survive_two_failures_and_two_do(pair: Cluster, open_on: OpenOn) -> None:
    """One of two replicas has acknowledged; its primary dies, and the other replica takes over."""
    primary = pair.primaries()[0]
    informed, uninformed = pair.replicas(primary)
    all_replicas = open_on(pair, durability="replicated", timeout=TIMEOUT)
    one = open_on(pair, durability="replicated", replicas=1)
    patient = open_on(pair, durability="replicated")
    undone, refused = create_on(patient, pair, primary), create_on(patient, pair, primary)
    uninformed.pause()
    primary.ask("CLIENT", "KILL", "TYPE", "replica")
    assert eventually(lambda: len(_online(primary)) == 1)
    assert one.delete(undone) is True
    with pytest.raises(crudjt.StoreUnavailable, match="1 of 2 replicas"):
        all_replicas.delete(refused)
    primary.kill()
    informed.pause()
    uninformed.resume()
    assert pair.wait_for_failover(primary) is uninformed
    assert peek_soon(one, undone) is not None
    assert peek_soon(all_replicas, refused) is not None


def _online(primary: Node) -> list[str]:
    fields = primary.info("replication")
    return [name for name, value in fields.items() if name.startswith("slave") and "state=online" in value]
