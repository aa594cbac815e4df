"""Processes that share sessions on a cluster whose nodes die, pause and lose their slots: the answers fit one order.

With ``durability="replicated"`` and all replicas. A call that raised `StoreUnavailable` may have been carried out or
not. What such a call has left may be seen and undone by a failover, as the guarantees say: an answer that only observed
it proves nothing, and is left out. All others must fit, so that no limit is exceeded, nothing that has ended comes
back, and nothing acknowledged is lost.
"""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import crudjt
from tests.faults.model.linearizability import CONFLICT, NEVER, UNKNOWN, Call, SessionState, by_time, contradiction
from tests.faults.model.lives import finished
from tests.faults.scenarios.histories import Asker, Board, Log, calls_of, read_log, subject
from tests.faults.tally import Tally, Violation
from tests.support.cluster_contents import contents, slot_of_session
from tests.support.processes import Fork, eventually
from tests.support.valkey_servers import ENGINES, FAILOVER, Cluster
from tests.support.valkey_stores import REPLICATED

PROCESSES = 3
SESSIONS = 8
SHARED_READS = 300
TIMEOUT = 0.8
PAUSE = 0.002  # seconds between the calls of a process, so that a history stays short


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
    url, key = cluster.url(namespace), crudjt.generate_secret_key()
    board = Board(directory / "board", SESSIONS)
    limits = [SHARED_READS if number % 2 else 0 for number in range(SESSIONS)]
    slots = _create(url, key, board, limits)
    logs = [directory / f"log-{n}" for n in range(PROCESSES)]
    stop = directory / "stop"
    running = [Fork(_take_part, url, key, board, log, random.random(), stop) for log in logs]
    try:
        for _ in range(2):
            time.sleep(random.uniform(0.2, 0.6))
            random.choice(FAILURES)(random, cluster, random.choice(slots), tally)
            cluster.heal()
        time.sleep(0.3)
        stop.touch()
        for each in running:
            finished(each, [])
    finally:
        for each in running:
            each.end()
        cluster.heal()
    logs.append(directory / "log-last")
    finished(Fork(_look, url, key, board, logs[-1]), [])
    for session, tokens in enumerate(board.tokens()):
        calls = [call for log in logs for call in calls_of(read_log(log), session, tokens)]
        tally.operations += len(calls)
        tally.measure("calls of unknown outcome", sum(call.returned == NEVER for call in calls))
        kept = certain(calls)
        tally.measure("observations of what was undone", len(calls) - len(kept))
        unplaced = contradiction(SessionState(0, 0, 1, limits[session]), kept)
        if unplaced is not None:
            raise Violation(
                "no order of the operations explains the answers",
                [*sorted(calls, key=by_time), "unplaced", *unplaced],
            )
    differences = contents(cluster, namespace).differences()
    if differences:
        raise Violation("indexes and sessions differ", differences)


# The processes


def _create(url: str, key: str, board: Board, limits: list[int]) -> list[int]:
    """Create the sessions, and return their slots."""
    slots = []
    with crudjt.open(url, secret_key=key, **REPLICATED) as store:
        for session, reads in enumerate(limits):
            token = store.create({"v": 0}, max_reads=reads or None, subject=subject(session))
            board.tell(session, token)
            created = store.peek(token)
            assert created is not None
            slots.append(slot_of_session(created))
    return slots


def _take_part(url: str, key: str, board: Board, log: Path, seed: float, stop: Path) -> None:
    """Ask what comes to mind, until there is a file."""
    random = Random(seed)
    with crudjt.open(url, secret_key=key, timeout=TIMEOUT, **REPLICATED) as store:
        asker = PatientAsker(store, board, Log(log))
        while not stop.exists():
            time.sleep(random.uniform(0, 2 * PAUSE))
            session = random.randrange(SESSIONS)
            token = random.choice(board.tokens()[session][-2:])
            chance = random.random()
            if chance < 0.002:
                asker.revoke(session)
            elif chance < 0.004:
                asker.delete(session, token)
            elif chance < 0.08:
                asker.rotate(session, token)
            elif chance < 0.35:
                asker.update(session, token, random.randrange(10**6), None)
            elif chance < 0.45:
                asker.update(session, token, random.randrange(10**6), random.randrange(1, 40))
            elif chance < 0.55:
                asker.peek(session, token)
            else:
                asker.read(session, token)


def _look(url: str, key: str, board: Board, log: Path) -> None:
    """Look at every token once more, when all is over."""
    with crudjt.open(url, secret_key=key, **REPLICATED) as store:
        asker = Asker(store, board, Log(log))
        assert eventually(lambda: _answers(store), FAILOVER)
        for session, tokens in enumerate(board.tokens()):
            for token in tokens:
                asker.peek(session, token)


def _answers(store: crudjt.Store) -> bool:
    try:
        return store.stats().sessions >= 0
    except crudjt.StoreUnavailable:
        return False


class PatientAsker(Asker):
    """Writes down that the outcome of a call is unknown, and goes on."""

    def ask(self, session: int, name: str, argument: object, call: Callable[[], Any]) -> Any:
        try:
            return super().ask(session, name, argument, call)
        except crudjt.StoreUnavailable:
            self._log.note("unknown", time.monotonic_ns(), session, name, None)
            return None

    def revoke(self, session: int) -> None:
        """Revoke; of two revocations whose replies are lost, both may count the session: the number is not noted."""

        def call() -> str:
            self._store.revoke(subject(session))
            return UNKNOWN

        self.ask(session, "revoke", None, call)


# The answers


def certain(calls: list[Call]) -> list[Call]:
    """Leave out the calls that only observed what one of unknown outcome may have left, and a failover undone."""
    unknown = [call for call in calls if call.returned == NEVER]
    values = {call.argument[1] for call in unknown if call.name == "update" and isinstance(call.argument, tuple)}
    ending = any(call.name != "peek" for call in unknown)
    counting = any(call.name == "read" for call in unknown)

    def is_kept(call: Call) -> bool:
        if call.returned == NEVER or call.answer == UNKNOWN:
            return True
        if isinstance(call.answer, tuple) and call.answer[0] == CONFLICT:
            return not values
        if call.name in ("delete", "update", "rotate") and call.answer not in (None, False):
            return True
        if isinstance(call.answer, tuple):
            is_counted = call.name == "read" and call.answer[2]
            return bool(is_counted) or not (call.answer[0] in values or (counting and call.answer[2]))
        return not ending

    return [call for call in calls if is_kept(call)]


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
