"""Processes that share sessions on servers and go on when one is unavailable, and whether their answers fit one order.

A call that raised `StoreUnavailable` may have been carried out or not. What it has left may be seen, and undone by a
failover, as the guarantees say: then an answer that only observed it proves nothing, and is left out.
"""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import crudjt
from tests.faults.model.asking import Asker, Board, Log, calls_of, read_log, subject
from tests.faults.model.linearizability import CONFLICT, NEVER, UNKNOWN, Call, SessionState, by_time, contradiction
from tests.faults.model.lives import finished
from tests.faults.tally import Tally, Violation
from tests.support.cluster_contents import contents, slot_of_session
from tests.support.processes import Fork, eventually
from tests.support.valkey_servers import FAILOVER, Servers
from tests.support.valkey_stores import PATIENT

PROCESSES = 3
SESSIONS = 8
SHARED_READS = 300
TIMEOUT = 0.8  # seconds
PAUSE = 0.002  # seconds between the calls of a process, so that a history stays short


class Sharing:
    """Processes that share sessions of a namespace of some servers, which fail while a block runs.

    Attributes:
        slots: where the sessions lie.

    """

    def __init__(self, servers: Servers, namespace: str, directory: Path, random: Random, **options: Any) -> None:
        self._servers = servers
        self._namespace = namespace
        self._options = {"secret_key": crudjt.generate_secret_key(), **options}
        self._board = Board(directory / "board", SESSIONS)
        self._limits = [SHARED_READS if number % 2 else 0 for number in range(SESSIONS)]
        self._logs = [directory / f"log-{number}" for number in range(PROCESSES)]
        self._last = directory / "log-last"
        self._stop = directory / "stop"
        self._random = random
        self._running: list[Fork] = []
        self.slots = self._create()

    def begin(self, url: str | None = None) -> None:
        """Start the processes; with a location, they reach the servers by it."""
        for log in self._logs:
            seed = self._random.random()
            self._running.append(Fork(self._take_part, url or self._url, log, seed))

    def stop(self) -> None:
        """Let the processes end by themselves; a failure of one is raised."""
        self._stop.touch()
        for each in self._running:
            finished(each, [])

    def end(self) -> None:
        """Leave no process behind."""
        for each in self._running:
            each.end()

    def check(self, tally: Tally, *, undone: bool) -> None:
        """Look at everything, and put all answers in order; `undone` where a failover may have undone something.

        Raises:
            Violation: no order explains the answers, or the indexes do not name the sessions.

        """
        finished(Fork(self._look), [])
        for session, tokens in enumerate(self._board.tokens()):
            calls = [call for log in [*self._logs, self._last] for call in calls_of(read_log(log), session, tokens)]
            tally.operations += len(calls)
            tally.measure("calls of unknown outcome", sum(call.returned == NEVER for call in calls))
            kept = certain(calls) if undone else calls
            tally.measure("observations of what may have been undone", len(calls) - len(kept))
            unplaced = contradiction(SessionState(0, 0, 1, self._limits[session]), kept)
            if unplaced is not None:
                history = [*sorted(calls, key=by_time), "unplaced", *unplaced]
                raise Violation("no order of the operations explains the answers", history)
        if differences := contents(self._servers, self._namespace).differences():
            raise Violation("indexes and sessions differ", differences)

    @property
    def _url(self) -> str:
        return self._servers.url(self._namespace)

    @property
    def _asker(self) -> type["PatientAsker"]:
        """What asks in the processes."""
        return PatientAsker

    def open(self, location: str | None = None, **options: Any) -> crudjt.Store:
        """Open the store, by another location if one is given."""
        return crudjt.open(location or self._url, **(self._options | options))

    def _create(self) -> list[int]:
        slots = []
        with self.open(**PATIENT) as store:
            for session, reads in enumerate(self._limits):
                token = store.create({"v": 0}, max_reads=reads or None, subject=subject(session))
                self._board.tell(session, token)
                created = store.peek(token)
                assert created is not None
                slots.append(slot_of_session(created))
        return slots

    def _take_part(self, url: str, log: Path, seed: float) -> None:
        """Ask what comes to mind, until there is a file."""
        random = Random(seed)
        with self.open(url, timeout=TIMEOUT) as store:
            asker = self._asker(store, self._board, Log(log))
            while not self._stop.exists():
                time.sleep(random.uniform(0, 2 * PAUSE))
                session = random.randrange(SESSIONS)
                asker.ask_anything(random, session, random.choice(self._board.tokens()[session][-2:]))

    def _look(self) -> None:
        """Look at every token once more, when all is over."""
        with self.open(**PATIENT) as store:
            asker = Asker(store, self._board, Log(self._last))
            assert eventually(lambda: _answers(store), FAILOVER)
            for session, tokens in enumerate(self._board.tokens()):
                for token in tokens:
                    asker.peek(session, token)


def _answers(store: crudjt.Store) -> bool:
    try:
        return store.stats().sessions >= 0
    except crudjt.StoreUnavailable:
        return False


class PatientAsker(Asker):
    """Writes down that the outcome of a call is unknown, and goes on."""

    def ask_anything(self, random: Random, session: int, token: str) -> None:
        """Make a random call."""
        chance = random.random()
        if chance < 0.002:
            self.revoke(session)
        elif chance < 0.004:
            self.delete(session, token)
        elif chance < 0.08:
            self.rotate(session, token)
        elif chance < 0.35:
            self.update(session, token, random.randrange(10**6), None)
        elif chance < 0.45:
            self.update(session, token, random.randrange(10**6), random.randrange(1, 40))
        elif chance < 0.55:
            self.peek(session, token)
        else:
            self.read(session, token)

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
