"""Processes that live with a store until they are killed, and what must be there afterwards."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import crudjt
from crudjt._core.changes import SESSION
from crudjt._filesystem import host
from tests.faults.model.history import Event, FileJournal, History, State, look, read_journal
from tests.faults.model.workload import Workload
from tests.faults.tally import Violation
from tests.support.embedded import ends_exactly, stored
from tests.support.processes import Fork, ForkFailure, replayed_content

OPERATOR = "operator"
"""The subject of sessions that no life has: those of a command that was killed before it ended its own."""

_LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


def live(
    path: Path,
    secret_key: str,
    journal: Path,
    seed: str,
    boot: host.Boot,
    full: bool,
    operations: int,
    before: Callable[[], object] | None = None,
) -> None:
    """Do random things with a store, and return with it open."""
    host.current_boot = lambda: boot  # this process ends with the function
    random = Random(seed)
    if before is not None:
        before()
    store = crudjt.open(
        path,
        secret_key=secret_key,
        durability="full" if full else "interval",
        sync_interval=random.choice([0.005, 0.02, 0.1]),
    )
    Workload(store, random, FileJournal(journal), journal.name, full=full).run(operations)


class Lives:
    """The processes that have lived with a store, by their journals."""

    def __init__(self, path: Path, journals: Path, secret_key: str) -> None:
        self.path = path
        self.secret_key = secret_key
        self.journals = journals
        self.settled: dict[str, State] = {}  # what those who are long dead have left
        self.last_pid = 0  # of the last that checked
        self._unsettled: list[str] = []
        self._count = 0

    def begin(self, random: Random, boot: host.Boot, *, full: bool, operations: int, before: Any = None) -> Fork:
        """Start a process."""
        name = self.expect()
        seed = f"{random.random()} {name}"
        return Fork(live, self.path, self.secret_key, self.journals / name, seed, boot, full, operations, before)

    def expect(self) -> str:
        """Return the name of a process that the caller starts; its journal bears it."""
        self._count += 1
        name = f"w{self._count}"
        self._unsettled.append(name)
        return name

    def operations(self) -> int:
        return sum(history.begun for history in self.histories().values())

    def histories(self) -> dict[str, History]:
        return {name: History(read_journal(self.journals / name)) for name in self._unsettled}

    def check(self, boot: host.Boot, *, power_failed: bool, pid: int | None = None) -> dict[str, State]:
        """Open the store in another process and see that what is there is what may be; return the states.

        What was synced must be there after a power failure, and what was acknowledged else. The process gets the `pid`
        of one that is dead, where that can be done.
        """
        fork = fork_as(pid, self._check, boot, power_failed)
        self.last_pid = fork.pid
        states = finished(fork, self.events())
        self.settled.update(states)
        self._unsettled = []
        return dict(states)

    def events(self) -> list[tuple[str, Event]]:
        return [(name, event) for name in self._unsettled for event in read_journal(self.journals / name)]

    def _check(self, boot: host.Boot, power_failed: bool) -> dict[str, State]:
        host.current_boot = lambda: boot  # this process ends with the function
        states: dict[str, State] = {}
        with crudjt.open(self.path, secret_key=self.secret_key) as store:
            store.delete(store.create({}))  # cuts off what a dead writer may have left
            store.revoke(OPERATOR)
            if not ends_exactly(store):
                raise Violation("what a killed process left in the log was not cut off")
            for name, history in self.histories().items():
                low = history.synced if power_failed else history.acknowledged
                seen = look(store, name, history.tokens)
                states[name] = history.found(seen, history.between(low, history.begun))
            for name, state in self.settled.items():
                tokens = [facts.token for facts in state.values() if facts.token]
                if not look(store, name, tokens).shows(state):
                    raise Violation("what was there at the last look is not there any more", [name, state])
            content = stored(store)
            sessions = sum(key.startswith(SESSION) for key in content)
            known = sum(len(state) for state in {**self.settled, **states}.values())
            if not sessions == known == store.stats().sessions:
                raise Violation(f"{sessions} sessions, {store.stats().sessions} by count, {known} by their owners")
            try:
                replayed = replayed_content(self.path, self.secret_key, self.journals / "copy")
            except AssertionError as error:
                raise Violation("a replay of the log counts other sessions than it makes") from error
            if replayed != content:
                raise Violation("the log does not say what the view says")
        return states


def finished(fork: Fork, history: list[Any]) -> Any:
    """Return the result of a process that must not have failed.

    Raises:
        Violation: the store broke a promise to it or refused to work, or the process died by a signal or hung.
        ForkFailure: it raised anything else, which says nothing of the store.

    """
    try:
        return fork.wait().result
    except ForkFailure as failure:
        if failure.cause == "raised" and not {"Violation", "StoreError"} & set(failure.classes):
            raise
        promise = str(failure).strip().splitlines()[-1]
        raise Violation(promise, [*history, str(failure)]) from failure


def fork_as(pid: int | None, function: Callable[..., Any], *arguments: Any) -> Fork:
    """Start a process with a certain id, if the kernel lets us and nobody else has it."""
    if pid is not None and os.access(_LAST_PID, os.W_OK):
        _LAST_PID.write_text(str(pid - 1))
    return Fork(function, *arguments)
