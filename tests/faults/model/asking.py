"""Files in which processes that share sessions note their calls and the answers; they survive the processes."""

import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crudjt
from tests.faults.model.linearizability import CONFLICT, NEVER, UNKNOWN, Call


class Log:
    """The calls of a process and the answers, in a file that survives it."""

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

    def __init__(self, path: Path, sessions: int) -> None:
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


def _facts(session: crudjt.Session | None) -> object:
    return session and (session.data["v"], session.version, session.reads_left or 0)


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
