"""One promise after another, on a server that is full, that cannot reach its replica, or that meets a new key."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import crudjt
from tests.faults.tally import Tally, Violation
from tests.support.cluster_contents import slot_of_session
from tests.support.valkey_servers import ENGINES, Cluster, Node, SingleServer
from tests.support.valkey_stores import PATIENT, SINGLE

TIMEOUT = 0.4  # seconds
DATA = {"x": bytes(10_000)}
ROOM = 100_000  # bytes of memory


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Check each promise on a server of its own, as often."""
    tally = Tally()
    for number in range(rounds):
        engine = ENGINES[(seed + number) % len(ENGINES)]
        for check in (full_memory, silent_replica, new_key):
            check(directory / f"{check.__name__}-{number}", engine, tally)
    return tally


def require(promise: str, kept: bool) -> None:
    if not kept:
        raise Violation(promise)


def full_memory(directory: Path, engine: str, tally: Tally) -> None:
    """Endings and rotations go on in a full memory, and a call that is refused leaves everything as it was."""
    with (
        SingleServer(directory, engine) as server,
        crudjt.open(server.url("full"), secret_key=crudjt.generate_secret_key(), **SINGLE) as store,
    ):
        tokens = [store.create(DATA, subject=f"user {number}") for number in range(10)]
        used = int(server.node.info("memory")["used_memory"])
        server.node.ask("CONFIG", "SET", "maxmemory", used + ROOM)
        while _fits(lambda: store.create(DATA)):
            tally.operations += 1
        tally.faults += 1
        require("a rotation goes on when the memory is full", _fits(lambda: store.rotate(tokens[0])))
        server.node.ask("CONFIG", "SET", "maxmemory", used // 2)
        require("a login needs room", not _fits(lambda: store.rotate(tokens[1], subject="another")))
        require("a login that is refused leaves the old session", store.peek(tokens[1]) is not None)
        require("a login that is refused leaves no new session", not list(store.sessions("another")))
        require("an ending goes on when the memory is full", store.delete(tokens[2]))


def _fits(call: Callable[[], object]) -> bool:
    try:
        call()
    except crudjt.StoreFull:
        return False
    return True


def silent_replica(directory: Path, engine: str, tally: Tally) -> None:
    """Nothing is acknowledged that the replica does not have, not even that there is nothing to end."""
    with SingleServer(directory, engine, replicas=1) as server:
        replica = server.nodes[1]
        key, url = crudjt.generate_secret_key(), server.url("silent")
        with (
            crudjt.open(url, secret_key=key, endings="interval", **PATIENT) as fast,
            crudjt.open(url, secret_key=key, durability="replicated", replicas=1, **PATIENT) as patient,
            crudjt.open(url, secret_key=key, durability="replicated", replicas=1, timeout=TIMEOUT) as safe,
        ):
            gone, kept = patient.create({}), patient.create({})
            replica.pause()
            tally.faults += 1
            require("an ending is acknowledged by the primary alone where that is asked for", fast.delete(gone))
            calls: dict[str, Callable[[], object]] = {
                "an ending that finds nothing": lambda: safe.delete(gone),
                "a revocation": lambda: safe.revoke("ada"),
                "a create": lambda: safe.create({}),
                "an update": lambda: safe.update(kept, {"n": 1}),
                "an ending": lambda: safe.delete(kept),
            }
            for name, call in calls.items():
                require(f"{name} is not acknowledged that no replica has", not _is_acknowledged(call))
                tally.operations += 1
            replica.resume()


def _is_acknowledged(call: Callable[[], object]) -> bool:
    try:
        call()
    except crudjt.StoreUnavailable:
        return False
    return True


def run_on_shards(_seed: int, rounds: int, directory: Path) -> Tally:
    """Check as often that the replicas of another shard acknowledge nothing for one whose replica is silent."""
    tally = Tally()
    key = crudjt.generate_secret_key()
    with (
        Cluster(directory / "c", primaries=2, replicas=1) as cluster,
        crudjt.open(cluster.url("shards"), secret_key=key, **PATIENT) as store,
        crudjt.open(cluster.url("shards"), secret_key=key, timeout=TIMEOUT) as hasty,
    ):
        silent, answering = cluster.primaries()
        [replica] = cluster.replicas(silent)
        for _ in range(rounds):
            here, there = _create_on(store, cluster, silent), _create_on(store, cluster, answering)
            replica.pause()
            tally.faults += 1
            kept = not _is_acknowledged(partial(hasty.delete, here))
            others = _is_acknowledged(partial(store.delete, there))
            replica.resume()
            tally.operations += 2
            require("the replicas of one shard acknowledge nothing of another", kept)
            require("a shard acknowledges its endings while the replica of another is silent", others)
    return tally


def _create_on(store: crudjt.Store, cluster: Cluster, node: Node) -> str:
    while True:
        token = store.create({})
        session = store.peek(token)
        if session is not None and cluster.owner(slot_of_session(session)) is node:
            return token


def new_key(directory: Path, engine: str, tally: Tally) -> None:
    """A subject's sessions under an old and a new secret key are found and ended together."""
    old, new = crudjt.generate_secret_key(), crudjt.generate_secret_key()
    with SingleServer(directory, engine) as server:
        url = server.url("keys")
        with crudjt.open(url, secret_key=old, **SINGLE) as store:
            token = store.create({}, subject="ada")
        with crudjt.open(url, secret_key=[old, new], **SINGLE) as store:
            tokens = [token, store.create({}, subject="ada")]
            places = {session.id[16:20] for session in map(store.peek, tokens) if session is not None}
            require("a subject has one place under every secret key", len(places) == 1)
            require("a revocation ends what was created under either key", store.revoke("ada") == len(tokens))
            tally.operations += len(tokens) + 2
