"""Processes that share sessions on a cluster whose nodes die, pause and lose their slots: the answers fit one order.

With ``durability="replicated"`` and all replicas, so that no limit is exceeded, nothing that has ended comes back, and
nothing acknowledged is lost.
"""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.faults.model.sharing import Sharing
from tests.faults.tally import Tally
from tests.support.valkey_servers import ENGINES, Cluster
from tests.support.valkey_stores import REPLICATED


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Play as many histories on one cluster."""
    tally = Tally()
    random = Random(seed)
    with Cluster(directory / "c", random.choice(ENGINES), cluster_node_timeout="1000") as cluster:
        for number in range(rounds):
            place = directory / str(number)
            place.mkdir()
            one_history(random, cluster, f"h{seed}-{number}", place, tally)
    return tally


def one_history(random: Random, cluster: Cluster, namespace: str, directory: Path, tally: Tally) -> None:
    """Let processes ask while the nodes fail; then look at everything, and put all answers in order."""
    sharing = Sharing(cluster, namespace, directory, random, **REPLICATED)
    sharing.begin()
    try:
        for _ in range(2):
            time.sleep(random.uniform(0.2, 0.6))
            random.choice(FAILURES)(random, cluster, random.choice(sharing.slots), tally)
            cluster.heal()
        time.sleep(0.3)
        sharing.stop()
    finally:
        sharing.end()
        cluster.heal()
    sharing.check(tally, undone=True)


# What fails


def kill_primary(random: Random, cluster: Cluster, slot: int, tally: Tally) -> None:
    """Kill the primary of a slot, and start it again once a replica has taken over."""
    primary = cluster.owner(slot)
    primary.kill()
    tally.kills += 1
    cluster.wait_for_failover(primary)
    primary.restart()


def pause_primary(random: Random, cluster: Cluster, slot: int, tally: Tally) -> None:
    """Pause the primary of a slot until a replica has taken over; then it goes on with what was in its sockets."""
    primary = cluster.owner(slot)
    primary.pause()
    tally.faults += 1
    cluster.wait_for_failover(primary)
    time.sleep(random.uniform(0, 0.5))
    primary.resume()


def pause_for_a_moment(random: Random, cluster: Cluster, slot: int, tally: Tally) -> None:
    """Pause the primary of a slot for less time than a failover needs: calls time out, and are carried out late."""
    primary = cluster.owner(slot)
    primary.pause()
    tally.faults += 1
    time.sleep(random.uniform(0.3, 0.9))
    primary.resume()


def kill_replica(random: Random, cluster: Cluster, slot: int, tally: Tally) -> None:
    """Kill the replica of a slot, so that no change can be acknowledged."""
    for replica in cluster.replicas(cluster.owner(slot)):
        replica.kill()
        tally.kills += 1
    time.sleep(random.uniform(0.1, 0.5))


def cut_tail(random: Random, cluster: Cluster, slot: int, tally: Tally) -> None:
    """Let the primary of a slot write what its replica does not get, and kill it."""
    primary = cluster.owner(slot)
    replicas = cluster.replicas(primary)
    for replica in replicas:
        replica.pause()
    primary.ask("CLIENT", "KILL", "TYPE", "replica")
    time.sleep(random.uniform(0.05, 0.3))
    primary.kill()
    tally.kills += 1
    for replica in replicas:
        replica.resume()
    cluster.wait_for_failover(primary)
    primary.restart()


def move_slot(random: Random, cluster: Cluster, slot: int, tally: Tally) -> None:
    """Move a slot to another primary."""
    source = cluster.owner(slot)
    target = random.choice([node for node in cluster.primaries() if node is not source])
    cluster.move_slot(slot, source, target)
    tally.faults += 1


FAILURES: list[Callable[[Random, Cluster, int, Tally], None]] = [
    kill_primary, pause_primary, pause_for_a_moment, kill_replica, cut_tail, move_slot,
]  # fmt: skip
