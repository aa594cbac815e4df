"""Processes that share a few sessions, some of them killed: the answers must fit one order.

Everybody reads, updates with and without a version, rotates, deletes and revokes the same sessions through whatever
tokens it knows, old ones too, also from its read cache.
"""

import os
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import crudjt
from tests.faults.model.linearizability import CONFLICT, NEVER, UNKNOWN, Call, SessionState, by_time, contradiction
from tests.faults.model.lives import finished
from tests.faults.tally import Tally, Violation
from tests.support.processes import Fork

PROCESSES = 3
SESSIONS = 4
OPERATIONS = 60
SHARED_READS = 40


class Log:
    """What a process has asked and was answered, in a file that survives it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, *content: object) -> None:
        packed = pickle.dumps(content)
        os.write(self._descriptor, len(packed).to_bytes(4, "little") + packed)


def read_log(path: Path) -> list[Any]:
    content = path.read_bytes() if path.exists() else b""
    found = []
    while len(content) >= 4:
        size = int.from_bytes(content[:4], "little")
        if len(content) < 4 + size:
            break
        found.append(pickle.loads(content[4 : 4 + size]))
        content = content[4 + size :]
    return found


class Board:
    """Where the processes tell each other the tokens of each session: a file that all append to."""

    def __init__(self, path: Path, sessions: int = SESSIONS) -> None:
        self._path = path
        self._sessions = sessions

    def tell(self, session: int, token: str) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{session} {token}\n".encode())
        os.close(descriptor)

    def tokens(self) -> list[list[str]]:
        tokens: list[list[str]] = [[] for _ in range(self._sessions)]
        for line in self._path.read_text().splitlines():
            session, token = line.split()
            tokens[int(session)].append(token)
        return tokens


def subject(session: int) -> str:
    return f"s{session}"


def run(seed: int, rounds: int, directory: Path) -> Tally:
    """Play as many histories."""
    tally = Tally()
    for number in range(rounds):
        place = directory / str(number)
        place.mkdir()
        one_history(Random(f"{seed} {number}"), place, tally)
        shutil.rmtree(place)
    return tally


def one_history(random: Random, directory: Path, tally: Tally) -> None:
    key = crudjt.generate_secret_key()
    board = Board(directory / "board")
    limits = [SHARED_READS if random.random() < 0.3 else 0 for _ in range(SESSIONS)]
    finished(Fork(_create, directory / "store", key, board, limits), [])
    logs = [directory / f"log-{n}" for n in range(PROCESSES)]
    seeds = [random.random() for _ in logs]
    running = [
        Fork(_take_part, directory / "store", key, board, log, seed) for log, seed in zip(logs, seeds, strict=True)
    ]
    try:
        if random.random() < 0.6:
            time.sleep(random.uniform(0.01, 0.06))
            running[0].kill()
            tally.kills += 1
        for each in running:
            finished(each, [])
    finally:
        for each in running:
            each.end()
    logs.append(directory / "log-last")
    finished(Fork(_look, directory / "store", key, board, logs[-1]), [])
    for session, tokens in enumerate(board.tokens()):
        calls = [call for log in logs for call in calls_of(read_log(log), session, tokens)]
        tally.operations += len(calls)
        unplaced = contradiction(SessionState(0, 0, 1, limits[session]), calls)
        if unplaced is not None:
            history = [*sorted(calls, key=by_time), "unplaced", *unplaced]
            raise Violation("no order of the operations explains the answers", history)


def calls_of(log: list[Any], session: int, tokens: list[str]) -> list[Call]:
    """Return what the log of a process says of a session.

    A call without an answer is of a process that was killed, or was said to have an unknown outcome.
    """
    calls = []
    for number, (kind, at, of, name, argument) in enumerate(log):
        if kind != "ask" or of != session:
            continue
        known = tokens.index(argument[0]) if isinstance(argument, tuple) else None
        asked = (known, *argument[1:]) if isinstance(argument, tuple) else None
        if number + 1 == len(log) or log[number + 1][0] == "unknown":
            calls.append(Call(at, NEVER, name, asked, UNKNOWN))
            continue
        _, returned, _, _, answer = log[number + 1]
        if name == "rotate" and answer is not None:
            answer = tokens.index(answer) if answer in tokens else UNKNOWN
        calls.append(Call(at, returned, name, asked, answer))
    return calls


def _create(path: Path, key: str, board: Board, limits: list[int]) -> None:
    with crudjt.open(path, secret_key=key) as store:
        for session, reads in enumerate(limits):
            board.tell(session, store.create({"v": 0}, max_reads=reads or None, subject=subject(session)))


def _facts(session: crudjt.Session | None) -> object:
    return session and (session.data["v"], session.version, session.reads_left or 0)


def _take_part(path: Path, key: str, board: Board, log: Path, seed: float) -> None:
    """Ask what comes to mind."""
    random = Random(seed)
    with crudjt.open(path, secret_key=key) as store:
        asker = Asker(store, board, Log(log))
        for _ in range(OPERATIONS):
            session = random.randrange(SESSIONS)
            token = random.choice(board.tokens()[session][-2:])
            chance = random.random()
            if chance < 0.01:
                asker.ask(session, "revoke", None, lambda: store.revoke(subject(session)))  # noqa: B023 - called at once
            elif chance < 0.02:
                asker.delete(session, token)
            elif chance < 0.12:
                asker.rotate(session, token)
            elif chance < 0.40:
                asker.update(session, token, random.randrange(10**6), None)
            elif chance < 0.5:
                asker.update(session, token, random.randrange(10**6), random.randrange(1, 12))
            elif chance < 0.55:
                asker.peek(session, token)
            else:
                asker.read(session, token)


def _look(path: Path, key: str, board: Board, log: Path) -> None:
    """Read every token once more, when all is over."""
    with crudjt.open(path, secret_key=key) as store:
        asker = Asker(store, board, Log(log))
        for session, tokens in enumerate(board.tokens()):
            for token in tokens:
                asker.peek(session, token)


class Asker:
    """Calls a store, and writes down before and after it."""

    def __init__(self, store: crudjt.Store, board: Board, log: Log) -> None:
        self._store = store
        self._board = board
        self._log = log

    def ask(self, session: int, name: str, argument: object, call: Callable[[], Any]) -> Any:
        self._log.note("ask", time.monotonic_ns(), session, name, argument)
        answer = call()
        self._log.note("answer", time.monotonic_ns(), session, name, answer)
        return answer

    def read(self, session: int, token: str) -> None:
        self.ask(session, "read", (token, 0, None), lambda: _facts(self._store.read(token)))

    def peek(self, session: int, token: str) -> None:
        self.ask(session, "peek", (token, 0, None), lambda: _facts(self._store.peek(token)))

    def delete(self, session: int, token: str) -> None:
        self.ask(session, "delete", (token, 0, None), lambda: self._store.delete(token))

    def update(self, session: int, token: str, value: int, version: int | None) -> None:
        def call() -> object:
            try:
                return self._store.update(token, {"v": value}, if_version=version)
            except crudjt.VersionConflict as error:
                return CONFLICT, error.actual

        self.ask(session, "update", (token, value, version), call)

    def rotate(self, session: int, token: str) -> None:
        new = self.ask(session, "rotate", (token, 0, None), lambda: self._store.rotate(token))
        if new is not None:
            self._board.tell(session, new)
