"""Processes that share sessions while these move between a directory and a cluster, and movers that die or are doubled.

Some of the histories are played on a cluster whose nodes fail too. Nobody is logged out, nothing that has ended comes
back, no change is lost, and no limit is exceeded: the answers fit one order.
"""

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import crudjt
from crudjt import opening
from crudjt._backends.moving import mover
from tests.faults.model.sharing import PatientAsker, Sharing
from tests.faults.scenarios.cluster import FAILURES
from tests.faults.tally import Tally, Violation
from tests.support.processes import Fork, ForkFailure
from tests.support.valkey_servers import ENGINES, Cluster
from tests.support.valkey_stores import PATIENT, REPLICATED

FILLERS = 150  # sessions that no process uses: the movers are busy with them too
LONGEST_LIFE = 0.6  # seconds of a mover before it is killed
PAUSED = 0.4  # of the movers: it goes on when the next has worked for a while
LAST = 60.0  # seconds within which the last mover must be done


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Move as many stores to namespaces of one cluster, and from others back to directories."""
    return _moves(seed, rounds, directory, (MovingSharing, BackSharing))


def forth(seed: int, rounds: int, directory: Path) -> Tally:
    """Move as many stores to namespaces of one cluster."""
    return _moves(seed, rounds, directory, (MovingSharing,))


def back(seed: int, rounds: int, directory: Path) -> Tally:
    """Move as many namespaces of one cluster to directories."""
    return _moves(seed, rounds, directory, (BackSharing,))


def _moves(seed: int, rounds: int, directory: Path, kinds: Sequence[type["MovingSharing"]]) -> Tally:
    tally = Tally()
    random = Random(seed)
    with Cluster(directory / "c", random.choice(ENGINES), cluster_node_timeout="1000") as cluster:
        for number in range(rounds):
            place = directory / str(number)
            place.mkdir()
            kind = kinds[number % len(kinds)]
            failing = bool((number + number // 2) % 2)  # each kind in turn
            sharing = kind(cluster, f"m{seed}-{number}", place, random, **REPLICATED)
            one_move(random, cluster, sharing, tally, failing=failing)
    return tally


def one_move(random: Random, cluster: Cluster, sharing: "MovingSharing", tally: Tally, *, failing: bool) -> None:
    """Let movers work and die while processes ask, and the nodes fail if they are to; then look at everything."""
    sharing.begin()
    try:
        sharing.move(random, tally)
        if failing:
            random.choice(FAILURES)(random, cluster, random.choice(sharing.slots), tally)
            cluster.heal()
            sharing.move(random, tally)
        sharing.finish()
        time.sleep(0.2)
        sharing.stop()
    finally:
        sharing.end()
        cluster.heal()
    sharing.check(tally, undone=failing)
    sharing.check_fillers()


def _end(each: Fork) -> None:
    """Kill a mover, if it has not stopped by itself: another has taken over, or the cluster did not answer."""
    each.kill()
    with contextlib.suppress(ForkFailure):
        each.wait()


class MovingSharing(Sharing):
    """Processes that share the sessions of a directory that is moved."""

    def __init__(self, servers: Cluster, namespace: str, directory: Path, random: Random, **options: Any) -> None:
        self._directory = directory / "store"
        self._fillers: list[str] = []
        super().__init__(servers, namespace, directory, random, **options)

    def open(self, location: str | None = None, **options: Any) -> crudjt.Store:
        source, destination = self._places(location or self._url)
        return crudjt.open(source, moving_to=destination, **(self._options | options))

    def _places(self, url: str) -> tuple[Path | str, Path | str]:
        """Return source and destination."""
        return self._directory, url

    @property
    def _alone(self) -> dict[str, Any]:
        """Options that open the destination alone."""
        return {**self._options, **PATIENT}

    def _create(self) -> list[int]:
        slots = super()._create()
        with self.open(**PATIENT) as store:
            self._fillers = store.create_many([{"v": 0}] * FILLERS)
        return slots

    def move(self, random: Random, tally: Tally) -> None:
        """Start movers one after another, or two together. One is killed, or paused while the next works."""
        paused: list[Fork] = []
        for _ in range(random.randrange(4, 10)):
            movers = [Fork(self._move, random.random()) for _ in range(random.choice((1, 1, 2)))]
            time.sleep(random.uniform(0, LONGEST_LIFE))
            for each in paused:
                os.kill(each.pid, signal.SIGCONT)
            time.sleep(random.uniform(0, 0.1))
            for each in paused:
                _end(each)
            paused = [each for each in movers if random.random() < PAUSED]
            for each in movers:
                if each in paused:
                    os.kill(each.pid, signal.SIGSTOP)
                    tally.faults += 1
                else:
                    tally.kills += 1
                    _end(each)
        for each in paused:
            _end(each)

    def finish(self) -> None:
        """Let one mover come to the end."""
        ended = Fork(self._move, None).wait(LAST)
        if ended.result != []:
            raise Violation("sessions were left that can move")

    def check_fillers(self) -> None:
        """Check that the sessions that no process has used are there, and at the destination."""
        lost = Fork(self._lost_fillers).wait(LAST).result
        if lost:
            raise Violation("sessions were lost on their way", lost)

    def _lost_fillers(self) -> list[int]:
        _, destination = self._places(self._url)
        with crudjt.open(destination, **self._alone) as store:
            found = store.read_many(self._fillers)
        return [number for number, session in enumerate(found) if session is None]

    def _move(self, seed: float | None) -> list[str]:
        """Move in small steps, slowly; the last mover does not wait."""
        random = Random(seed)
        mover._BATCH = 7  # this process ends with the function
        place, to = self._places(self._url)
        given: opening.OpenOptions = {"moving_to": to, "timeout": 2.0, **self._options}  # type: ignore[typeddict-item]
        source, destination = opening.parse(place, given).open_both()

        def rest(_progress: mover.Progress) -> None:
            if seed is not None:
                time.sleep(random.uniform(0, 0.02))

        left = mover.move(source, destination, rest).left
        if seed is None:
            destination.finish()
        return left


class _Settled(PatientAsker):
    """Rotates every other session only: a rotation takes its session along, and would leave nothing to the movers."""

    def rotate(self, session: int, token: str) -> None:
        if session // 2 % 2:
            super().rotate(session, token)
        else:
            self.read(session, token)


class BackSharing(MovingSharing):
    """Processes that share the sessions of a cluster that is moved to a directory."""

    @property
    def _asker(self) -> type[PatientAsker]:
        return _Settled

    def _places(self, url: str) -> tuple[Path | str, Path | str]:
        return url, self._directory

    @property
    def _alone(self) -> dict[str, Any]:
        return {"secret_key": self._options["secret_key"]}
