"""A peer that is ready to take part: its environment, its tasks, and the servers that a turn of it needs."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks import processes
from benchmarks.environments import Environment
from benchmarks.peers.catalogue import Peer
from benchmarks.peers.interface import Place

WORKER = "benchmarks.worker"


@dataclass(frozen=True)
class Contestant:
    """A peer and its environment, and how long the machine is left alone before each of its turns."""

    peer: Peer
    environment: Environment
    pause_seconds: float

    def versions(self) -> dict[str, str]:
        """Return the versions of Python and of what the peer rests on."""
        return processes.run(self.environment, WORKER, json.dumps({"part": "versions", "packages": self.peer.packages}))

    def run(self, part: str, place: Place, **settings: Any) -> dict[str, Any]:
        """Run one part in a process of its own."""
        return processes.run(self.environment, WORKER, self._task(part, place, settings))

    def attended(self, part: str, place: Place, **settings: Any) -> AbstractContextManager[processes.Attendant]:
        """Run one part beside a block."""
        return processes.attended(self.environment, WORKER, self._task(part, place, settings))

    def _task(self, part: str, place: Place, settings: dict[str, Any]) -> str:
        return json.dumps({"part": part, "opens": self.peer.opens, "place": asdict(place)} | settings)

    @contextmanager
    def turn(self, *, durable: bool = False, clustered: bool = False) -> Iterator[Place]:
        """Provide an empty place with the servers that the peer needs; all is gone afterwards.

        What earlier turns have left for the kernel to write and to discard is done first: nobody is to be slowed by
        another's.
        """
        os.sync()
        time.sleep(self.pause_seconds)
        with ExitStack() as stack:
            place = Place(stack.enter_context(processes.workspace()), processes.free_port(), durable=durable)
            if self.peer.redis:
                stack.enter_context(processes.redis(place.workspace, place.port, durable=durable))
            if self.peer.valkey:
                port = stack.enter_context(processes.valkey(place.workspace, clustered=clustered))
                place = replace(place, port=port, clustered=clustered)
            yield place

    @contextmanager
    def held(self, place: Place) -> Iterator[Place]:
        """Keep the store open in another process; yields the place as it is to others meanwhile."""
        place = replace(place, port=processes.free_port())
        with self.attended("hold", place) as holder:
            yield replace(place, remote=True)
            holder.stop()
